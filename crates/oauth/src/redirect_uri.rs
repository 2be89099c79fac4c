//! Where a browser may be sent with a code: what may be registered, and what matches what was registered.
//!
//! Compared as text, character by character (RFC 9700 section 2.1). One exception: an application on the person's own
//! machine listens on whatever port is free, so on loopback http the port does not count (RFC 8252 section 7.3), for
//! `localhost` too, because the clients people use send that.

use url::{Host, Url};

/// Longest that is kept.
const MAX_LENGTH: usize = 2048;
/// Browsers act on these themselves: script, local files, pages out of thin air.
const FORBIDDEN_SCHEMES: &[&str] =
    &["javascript", "data", "file", "blob", "about", "vbscript", "view-source", "filesystem", "intent"];
/// Custom schemes without a domain in them, which real clients registered before they knew better.
const KNOWN_CUSTOM: &[&str] = &["cursor://anysphere.cursor-mcp/oauth/callback"];
const LOOPBACK_HOSTS: &[&str] = &["127.0.0.1", "[::1]", "localhost"];

/// A redirect URI that may be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    url: Url,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    #[error("a redirect URI is an absolute URL of at most 2048 plain characters")]
    NotAUrl,
    #[error("a redirect URI has no fragment, no user name and no wildcard")]
    Ambiguous,
    #[error(
        "a redirect URI is https, http on 127.0.0.1, [::1] or localhost, or a scheme of the application's own domain"
    )]
    Scheme,
}

impl RedirectUri {
    pub fn parse(text: &str) -> Result<Self, RedirectUriError> {
        let plain = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\');
        if text.is_empty() || text.len() > MAX_LENGTH || !plain {
            return Err(RedirectUriError::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| RedirectUriError::NotAUrl)?;
        let has_user =
            !url.username().is_empty() || url.password().is_some() || authority(text).contains('@');
        if text.contains(['#', '*']) || has_user {
            return Err(RedirectUriError::Ambiguous);
        }
        let allowed = match url.scheme() {
            "https" => text.starts_with("https://") && is_plain_host(&url),
            "http" => Loopback::parse(text).is_some(),
            scheme => {
                let owned = is_reversed_domain(scheme) && !FORBIDDEN_SCHEMES.contains(&scheme);
                owned || KNOWN_CUSTOM.contains(&text)
            }
        };
        if !allowed {
            return Err(RedirectUriError::Scheme);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this, as a request names it, is the one that was registered.
    pub fn matches(&self, registered: &str) -> bool {
        self.text == registered
            || match (Loopback::parse(&self.text), Loopback::parse(registered)) {
                (Some(asked), Some(known)) => asked.host == known.host && asked.rest == known.rest,
                _ => false,
            }
    }

    pub fn is_loopback(&self) -> bool {
        Loopback::parse(&self.text).is_some()
    }

    /// Whether it leads to an application by a scheme of its own, which any application can claim for itself.
    pub fn is_application(&self) -> bool {
        !matches!(self.url.scheme(), "http" | "https")
    }

    /// What to show a person: the host, or that it is an application. A scheme may look like a host and is none:
    /// `claude.ai:` belongs to whatever program claimed it.
    pub fn shown_destination(&self) -> String {
        match self.url.host_str() {
            Some(host) if !self.is_application() => host.to_owned(),
            _ => format!("an app on this computer (scheme {}:)", self.url.scheme()),
        }
    }

    /// As a source of a `Content-Security-Policy`: where the consent form may lead.
    ///
    /// A policy can't name an IPv6 address (its `host-source` has no brackets): there it names the port.
    pub fn policy_source(&self) -> String {
        match self.url.scheme() {
            scheme @ ("http" | "https") if matches!(self.url.host(), Some(Host::Ipv6(_))) => {
                let port = self.url.port().map_or_else(String::new, |port| format!(":{port}"));
                format!("{scheme}://*{port}")
            }
            "http" | "https" => self.url.origin().ascii_serialization(),
            scheme => format!("{scheme}:"),
        }
    }

    /// The URI with parameters added to what its query has.
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        url.into()
    }
}

/// A name or an IPv4 address, in the letters that these have. The parser lets more pass (`;`, `'`, `,`), which would be
/// another directive or source in a `Content-Security-Policy`; and that can't name an IPv6 address at all.
fn is_plain_host(url: &Url) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    match url.host() {
        Some(Host::Domain(name)) => !name.is_empty() && name.bytes().all(plain),
        Some(Host::Ipv4(_)) => true,
        Some(Host::Ipv6(_)) | None => false,
    }
}

/// A domain turned round says whose the scheme is (RFC 8252 section 7.1).
fn is_reversed_domain(scheme: &str) -> bool {
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    scheme.contains('.') && scheme.split('.').all(is_label)
}

fn authority(text: &str) -> &str {
    let Some((_, rest)) = text.split_once("://") else { return "" };
    rest.split(['/', '?', '#']).next().unwrap_or("")
}

/// `http://<loopback>[:port]<rest>`, read from the text itself: a parser would take `0x7f.1` for 127.0.0.1.
struct Loopback<'t> {
    host: &'t str,
    rest: &'t str,
}

impl<'t> Loopback<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let after = text.strip_prefix("http://")?;
        let host =
            LOOPBACK_HOSTS.iter().find_map(|host| after.get(..host.len()).filter(|start| start == host))?;
        let after = &after[host.len()..];
        let after = match after.strip_prefix(':') {
            Some(port) => {
                let end = port.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(port.len());
                port[..end].parse::<u16>().ok()?;
                &port[end..]
            }
            None => after,
        };
        let rest = if after.is_empty() { "/" } else { after };
        rest.starts_with(['/', '?']).then_some(Self { host, rest })
    }
}

#[cfg(test)]
#[path = "redirect_uri_tests.rs"]
mod tests;
