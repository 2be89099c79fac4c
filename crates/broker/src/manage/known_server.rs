//! Where to start a connection from.

use serde::Serialize;
use serde_json::Value;
use switchboard_catalog::{find_known_servers, known_servers, known_servers_checked_at};
use switchboard_domain::Principal;

use super::{Operation, Page, PageRequest, Refusal, Target, authorize};
use crate::Broker;

/// What a URL, host or product name may be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Resolved)]
pub struct Resolved {
    /// Known servers that fit.
    #[schema(value_type = Vec<Object>)]
    pub matches: Vec<&'static Value>,
    /// Whether the outbound rules allow the text as a URL; `null` when it is none.
    pub url_allowed: Option<bool>,
    /// When the list of known servers was last gone through.
    pub checked_at: &'static str,
}

impl Broker {
    pub fn list_known_servers(
        &self,
        principal: &Principal,
        query: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<&'static Value>, Refusal> {
        let _allowed = authorize(principal, Operation::ListKnownServers, Target::Organization)?;
        let mut found = match query.map(str::trim).filter(|query| !query.is_empty()) {
            Some(query) => find_known_servers(query),
            None => known_servers().iter().collect(),
        };
        let key = |server: &&'static Value| server["slug"].as_str().unwrap_or_default().to_owned();
        found.sort_by_key(key);
        page.cut(found, key)
    }

    /// From the built-in list and the text alone: asks nobody.
    pub fn resolve_server(&self, principal: &Principal, text: &str) -> Result<Resolved, Refusal> {
        let _allowed = authorize(principal, Operation::ListKnownServers, Target::Organization)?;
        let is_url = text.contains("://");
        Ok(Resolved {
            matches: if text.trim().is_empty() { Vec::new() } else { find_known_servers(text) },
            url_allowed: is_url.then(|| self.upstreams().egress().check_url(text.trim()).is_ok()),
            checked_at: known_servers_checked_at(),
        })
    }
}
