//! Scopes that a client asks for and gets.
//!
//! Unknown ones are passed over (RFC 6749 section 3.3 lets a server answer with less), `offline_access` is taken for
//! granted: everybody gets a refresh token. The REST API is for the first-party client alone ([`Audience`]): what an AI
//! client may ask for never administers anything.

use switchboard_domain::{Scope, Scopes};

use crate::{ErrorCode, OauthError};

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// An AI client: MCP endpoints and their scopes.
    Agent,
    /// The command line of Switchboard itself: the REST API, and whatever else the person may use.
    FirstParty,
}

impl Audience {
    fn takes(self, scope: Scope) -> bool {
        match scope {
            Scope::McpRead | Scope::McpWrite | Scope::McpPlan => true,
            Scope::Api => self == Self::FirstParty,
            Scope::OfflineAccess => false,
        }
    }

    fn usual(self) -> Scopes {
        let usual: Scopes = [Scope::McpRead, Scope::McpWrite].into_iter().collect();
        if self == Self::FirstParty { usual.with(Scope::Api) } else { usual }
    }
}

/// What to ask the person for. Nothing named: what such a client needs to work.
pub fn requested_scopes(audience: Audience, asked: Option<&str>) -> Result<Scopes, OauthError> {
    let mut named_any = false;
    let mut known = Scopes::default();
    for word in asked.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        match word.parse::<Scope>() {
            Ok(Scope::OfflineAccess) => {}
            Ok(scope) if audience.takes(scope) => known = known.with(scope),
            _ => named_any = true,
        }
    }
    match (known.is_empty(), named_any) {
        (false, _) => Ok(known),
        (true, false) => Ok(audience.usual()),
        (true, true) => Err(OauthError::new(
            ErrorCode::InvalidScope,
            "none of these scopes is for AI clients: ask for mcp:read, mcp:write or mcp:plan",
        )),
    }
}

/// What a refreshed token gets: the grant's scopes, or fewer when it asks for fewer (RFC 6749 section 6).
pub fn narrowed_scopes(granted: Scopes, asked: Option<&str>) -> Result<Scopes, OauthError> {
    let Some(asked) = asked.filter(|asked| !asked.trim().is_empty()) else { return Ok(granted) };
    let mut narrowed = Scopes::default();
    for word in asked.split(' ').filter(|word| !word.is_empty()) {
        match word.parse::<Scope>() {
            Ok(Scope::OfflineAccess) => {}
            Ok(scope) if granted.contains(scope) => narrowed = narrowed.with(scope),
            Ok(scope) => {
                let text = format!("`{scope}` was not allowed: sign in again to ask for it");
                return Err(OauthError::new(ErrorCode::InvalidScope, text));
            }
            Err(_) => {}
        }
    }
    Ok(if narrowed.is_empty() { granted } else { narrowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_ask_in_many_ways() {
        let granted = |asked| requested_scopes(Audience::Agent, asked).map(|scopes| scopes.to_string());
        assert_eq!(granted(None).as_deref(), Ok("mcp:read mcp:write"));
        assert_eq!(granted(Some("")).as_deref(), Ok("mcp:read mcp:write"));
        assert_eq!(granted(Some("offline_access")).as_deref(), Ok("mcp:read mcp:write"));
        assert_eq!(granted(Some("mcp:read offline_access")).as_deref(), Ok("mcp:read"));
        assert_eq!(granted(Some("openid profile mcp:read")).as_deref(), Ok("mcp:read"));
        assert_eq!(granted(Some("mcp:write api")).as_deref(), Ok("mcp:write"), "never `api`");
        assert_eq!(granted(Some("api")).unwrap_err().code, ErrorCode::InvalidScope);
    }

    #[test]
    fn the_command_line_asks_for_the_api() {
        let granted = |asked| requested_scopes(Audience::FirstParty, asked).map(|scopes| scopes.to_string());
        assert!(granted(None).is_ok_and(|scopes| scopes.contains("api")));
        assert_eq!(granted(Some("api")).as_deref(), Ok("api"));
        assert_eq!(granted(Some("offline_access admin")).unwrap_err().code, ErrorCode::InvalidScope);
    }

    #[test]
    fn a_refresh_never_widens() {
        let read: Scopes = [Scope::McpRead].into_iter().collect();
        assert_eq!(narrowed_scopes(read, None), Ok(read));
        assert_eq!(narrowed_scopes(read, Some("mcp:read offline_access")), Ok(read));
        assert!(narrowed_scopes(read, Some("mcp:read mcp:write")).is_err());
        assert!(narrowed_scopes(read, Some("api")).is_err());
    }
}
