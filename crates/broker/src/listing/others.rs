//! Prompts, resources and templates: listed with every check, and pinned as tools are.
//!
//! Where every member has an account of their own, resources are what is in those accounts: their names are nobody
//! else's to review, so only the templates are pinned there.

use switchboard_domain::{CapabilityKind, Connection, CredentialMode};
use switchboard_mcp::code;

use super::{List, Listing, read};
use crate::upstream::{UpstreamError, UpstreamLimits, UpstreamSession};

const PROMPTS: List = List { kind: CapabilityKind::Prompt, method: "prompts/list", member: "prompts" };
const RESOURCES: List =
    List { kind: CapabilityKind::Resource, method: "resources/list", member: "resources" };
const TEMPLATES: List =
    List { kind: CapabilityKind::Resource, method: "resources/templates/list", member: "resourceTemplates" };

/// Whether an admin reviews the resources of this connection, and not only their templates.
pub(crate) fn pins_resources(connection: &Connection) -> bool {
    connection.credential_mode == CredentialMode::Shared
}

/// Adds what is not a tool. What can't be read stays as it was: a server whose tools work is not broken.
pub(crate) async fn list_others(
    session: &UpstreamSession,
    connection: &Connection,
    limits: &UpstreamLimits,
    listing: &mut Listing,
) {
    let offers = session.greeting().offers;
    let mut resources = vec![TEMPLATES];
    if pins_resources(connection) {
        resources.push(RESOURCES);
    }
    for (kind, is_offered, lists) in [
        (CapabilityKind::Prompt, offers.prompts, vec![PROMPTS]),
        (CapabilityKind::Resource, offers.resources, resources),
    ] {
        let before = listing.items.len();
        let mut outcome = Ok(());
        for list in lists.into_iter().filter(|_| is_offered) {
            outcome = outcome.and(absent_is_empty(read(list, session, limits, listing).await));
        }
        match outcome {
            Ok(()) => listing.kinds.push(kind),
            Err(error) => {
                listing.items.truncate(before);
                let error = error.without(&session.auth.secrets);
                tracing::warn!(connection = %connection.slug, kind = kind.as_str(), %error, "a list can't be read");
            }
        }
    }
}

/// Many servers with resources know no templates, and say that they have no such method.
fn absent_is_empty(outcome: Result<(), UpstreamError>) -> Result<(), UpstreamError> {
    match outcome {
        Err(UpstreamError::Rpc(error)) if error.code == code::METHOD_NOT_FOUND => Ok(()),
        outcome => outcome,
    }
}
