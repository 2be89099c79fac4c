//! Resource indicators (RFC 8707): which endpoint of ours a token is for.

use switchboard_domain::{Resource, Slug};

use crate::{Audience, ErrorCode, OauthError};

/// An endpoint as a client names it: `{origin}[/o/{organization}]{resource}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceIndicator {
    pub organization: Option<Slug>,
    pub resource: Resource,
}

impl ResourceIndicator {
    /// Nothing named is `/mcp`; a slash at the end, as people type it, is no other endpoint. `origin` is ours.
    /// The REST API is an endpoint for the first-party client alone, and the one it means when it names none.
    pub fn parse(audience: Audience, origin: &str, named: &[&str]) -> Result<Self, OauthError> {
        let usual = match audience {
            Audience::Agent => Resource::Default,
            Audience::FirstParty => Resource::Api,
        };
        let text = match named {
            [] => return Ok(Self { organization: None, resource: usual }),
            [text] => *text,
            _ => return Err(invalid("a token is for exactly one resource: name one `resource`")),
        };
        let path = after(text, origin)
            .or_else(|| loopback_spellings(origin).iter().find_map(|spelled| after(text, spelled)))
            .ok_or_else(|| invalid("`resource` is not an endpoint of this server"))?;
        let open = |found: &Self| found.resource != Resource::Api || audience == Audience::FirstParty;
        Self::from_path(path).filter(open).ok_or_else(|| {
            invalid("`resource` is none of /mcp, /mcp/toolkits/…, /mcp/connections/… at this server")
        })
    }

    pub fn from_path(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let (organization, path) = match path.strip_prefix("/o/") {
            Some(rest) => {
                let (slug, _) = rest.split_once('/')?;
                (Some(slug.parse().ok()?), &rest[slug.len()..])
            }
            None => (None, path),
        };
        Some(Self { organization, resource: Resource::from_path(path)? })
    }

    /// Path with the pin, as grants keep it.
    pub fn path(&self) -> String {
        let pinned = self.organization.as_ref().map_or_else(String::new, |slug| format!("/o/{slug}"));
        format!("{pinned}{}", self.resource.path())
    }
}

fn after<'a>(text: &'a str, origin: &str) -> Option<&'a str> {
    text.get(..origin.len()).filter(|start| start.eq_ignore_ascii_case(origin)).map(|_| &text[origin.len()..])
}

/// How else people write the origin of a server on their own machine; nothing for any other origin.
pub fn loopback_spellings(origin: &str) -> Vec<String> {
    const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    let own = |name: &&str| {
        let rest = origin.strip_prefix("http://")?.strip_prefix(*name)?;
        (rest.is_empty() || rest.starts_with(':')).then_some(rest)
    };
    let Some((used, port)) = NAMES.iter().find_map(|name| Some((*name, own(name)?))) else {
        return Vec::new();
    };
    NAMES.iter().filter(|name| **name != used).map(|name| format!("http://{name}{port}")).collect()
}

fn invalid(description: &str) -> OauthError {
    OauthError::new(ErrorCode::InvalidTarget, description)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://gw.example.com";

    #[test]
    fn every_endpoint_is_named_by_its_url() {
        for (named, path) in [
            ("https://gw.example.com/mcp", "/mcp"),
            ("https://gw.example.com/mcp/", "/mcp"),
            ("HTTPS://GW.example.com/mcp", "/mcp"),
            ("https://gw.example.com/mcp/toolkits/support", "/mcp/toolkits/support"),
            ("https://gw.example.com/mcp/connections/linear/", "/mcp/connections/linear"),
            ("https://gw.example.com/o/acme/mcp", "/o/acme/mcp"),
            ("https://gw.example.com/o/acme/mcp/toolkits/support", "/o/acme/mcp/toolkits/support"),
        ] {
            let found = ResourceIndicator::parse(Audience::Agent, ORIGIN, &[named]).map(|found| found.path());
            assert_eq!(found.as_deref(), Ok(path), "{named}");
        }
        assert_eq!(
            ResourceIndicator::parse(Audience::Agent, ORIGIN, &[]).map(|it| it.path()).as_deref(),
            Ok("/mcp")
        );
    }

    #[test]
    fn a_server_on_this_machine_has_three_spellings_and_no_other_server_has() {
        for (origin, named, found) in [
            ("http://127.0.0.1:7474", "http://localhost:7474/mcp", true),
            ("http://localhost:7474", "http://[::1]:7474/mcp", true),
            ("http://localhost:7474", "http://localhost:7475/mcp", false),
            ("http://localhost:7474", "https://localhost:7474/mcp", false),
            ("http://localhost:7474", "http://localhost.evil.example:7474/mcp", false),
            ("http://localhost.example:7474", "http://127.0.0.1.example:7474/mcp", false),
            ("https://localhost", "https://127.0.0.1/mcp", false),
            ("https://gw.example.com", "http://localhost/mcp", false),
        ] {
            let parsed = ResourceIndicator::parse(Audience::Agent, origin, &[named]);
            assert_eq!(parsed.is_ok(), found, "{named} at {origin}");
        }
    }

    #[test]
    fn nothing_else_is_an_endpoint() {
        for bad in [
            "",
            "/mcp",
            "https://gw.example.com",
            "https://gw.example.com/",
            "https://gw.example.com/mcp#x",
            "https://gw.example.com/mcp?x",
            "https://gw.example.com/mcp//",
            "https://gw.example.com/a/../mcp",
            "https://gw.example.com/MCP",
            "https://gw.example.com/api/v1",
            "https://gw.example.com/o/acme/api/v1",
            "https://gw.example.com/o/Ac me/mcp",
            "https://gw.example.com.evil.example/mcp",
            "https://gw.example.com:8443/mcp",
            "https://gw.example.com@evil.example/mcp",
            "http://gw.example.com/mcp",
            "https://other.example.com/mcp",
        ] {
            assert!(ResourceIndicator::parse(Audience::Agent, ORIGIN, &[bad]).is_err(), "{bad}");
        }
        let api = "https://gw.example.com/api/v1";
        assert!(ResourceIndicator::parse(Audience::FirstParty, ORIGIN, &[api]).is_ok());
        let two = ["https://gw.example.com/mcp", "https://gw.example.com/mcp"];
        assert!(ResourceIndicator::parse(Audience::Agent, ORIGIN, &two).is_err());
    }
}
