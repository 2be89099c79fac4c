//! What stands at the top of every page of a signed-in person: where they can go, where they are, how much waits for them.

use switchboard_broker::SignedIn;

use super::{audit, clients, connections, members, once, overview, rules, settings, toolkits, tools};
use crate::ServerState;

/// A page that the navigation leads to.
struct Place {
    path: &'static str,
    name: &'static str,
    /// Only admins and owners may.
    admins: bool,
}

const fn everybody(path: &'static str, name: &'static str) -> Place {
    Place { path, name, admins: false }
}

const fn admins(path: &'static str, name: &'static str) -> Place {
    Place { path, name, admins: true }
}

/// All of them, in order: a page that is not there yet is not listed.
const PLACES: &[Place] = &[
    everybody("/", "Home"),
    admins(overview::PATH, "Overview"),
    everybody(connections::PATH, "Connections"),
    everybody(toolkits::PATH, "Toolkits"),
    everybody(tools::PATH, "Tools"),
    everybody(APPROVALS, "Approvals"),
    everybody(rules::PATH, "Policies"),
    admins(members::PATH, "Members"),
    admins(clients::PATH, "AI clients"),
    admins(audit::PATH, "Audit log"),
    admins(audit::USAGE, "Usage"),
    admins(settings::PATH, "Settings"),
];

const APPROVALS: &str = "/approvals";

/// One link.
pub(super) struct Entry {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// This very page, or one below it.
    pub(super) current: Option<&'static str>,
    /// How much waits there; nothing is not worth a number.
    pub(super) waiting: usize,
}

#[derive(Default)]
pub(super) struct Navigation {
    pub(super) entries: Vec<Entry>,
    pub(super) email: String,
    pub(super) form_token: String,
    /// What a form that must not be done twice has of this page.
    pub(super) once: String,
}

impl Navigation {
    /// `path` is the page's own.
    pub(super) async fn new(state: &ServerState, signed_in: &SignedIn, form_token: &str, path: &str) -> Self {
        // A page without the number is better than none.
        let inbox = state.broker.approval_inbox(&signed_in.principal).await;
        let waiting = inbox.map_or(0, |inbox| inbox.waiting);
        let is_admin = signed_in.principal.role.is_admin();
        let entries = PLACES.iter().filter(|place| is_admin || !place.admins).map(|place| Entry {
            path: place.path,
            name: place.name,
            current: current(place.path, path),
            waiting: if place.path == APPROVALS { waiting } else { 0 },
        });
        Self {
            entries: entries.collect(),
            email: signed_in.email.clone(),
            form_token: form_token.to_owned(),
            once: once::page_number(state),
        }
    }
}

/// The value of `aria-current`.
fn current(place: &str, path: &str) -> Option<&'static str> {
    if place == path {
        return Some("page");
    }
    let below = path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'));
    (below && place != "/").then_some("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_where_it_is() {
        assert_eq!(current("/", "/"), Some("page"));
        assert_eq!(current("/", "/approvals"), None);
        assert_eq!(current("/approvals", "/approvals"), Some("page"));
        assert_eq!(current("/approvals", "/approvals/apr_1"), Some("true"));
        assert_eq!(current("/approvals", "/approvals-of-others"), None);
    }
}
