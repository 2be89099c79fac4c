//! Step 3 of a call: what an endpoint shows at all.

use switchboard_domain::{CapabilityPattern, ConnectionOwner, Resource};
use switchboard_storage::Toolkit;

use crate::{
    context::CallContext,
    snapshot::{Known, Snapshot},
};

/// The connections and capabilities that a request's endpoint includes.
#[derive(Debug)]
pub(crate) struct Surface<'s> {
    pub(crate) toolkit: Option<&'s Toolkit>,
    patterns: Vec<CapabilityPattern>,
    scope: Scope<'s>,
}

#[derive(Debug)]
enum Scope<'s> {
    All,
    Toolkit,
    Connection(&'s str),
    /// The endpoint does not exist for this caller: it shows nothing.
    Nothing,
}

impl<'s> Surface<'s> {
    pub(crate) fn of(snapshot: &'s Snapshot, context: &CallContext) -> Self {
        let bare = |scope| Surface { toolkit: None, patterns: Vec::new(), scope };
        match &context.resource {
            Resource::Default => bare(Scope::All),
            Resource::Api => bare(Scope::Nothing),
            Resource::Connection(slug) => match snapshot.by_slug(slug) {
                Some(known) => bare(Scope::Connection(known.connection.slug.as_str())),
                None => bare(Scope::Nothing),
            },
            Resource::Toolkit(slug) => match snapshot.toolkits.get(slug) {
                Some(toolkit) if admits(toolkit, context) => Surface {
                    toolkit: Some(toolkit),
                    // A pattern that can't be read includes nothing.
                    patterns: toolkit.patterns.iter().filter_map(|pattern| pattern.parse().ok()).collect(),
                    scope: Scope::Toolkit,
                },
                _ => bare(Scope::Nothing),
            },
        }
    }

    /// Whether the endpoint exists for this caller.
    pub(crate) fn exists(&self) -> bool {
        !matches!(self.scope, Scope::Nothing)
    }

    /// Whether the endpoint may include anything of this connection.
    pub(crate) fn may_include(&self, known: &Known) -> bool {
        let connection = &*known.connection;
        match self.scope {
            Scope::All => true,
            Scope::Nothing => false,
            Scope::Connection(slug) => {
                connection.slug.as_str() == slug && connection.owner == ConnectionOwner::Organization
            }
            Scope::Toolkit => {
                let personal = connection.owner != ConnectionOwner::Organization;
                let organizations_own = self.toolkit.is_some_and(|toolkit| toolkit.owner.is_none());
                // An organization's toolkit never reaches a personal connection.
                !(personal && organizations_own)
                    && self
                        .patterns
                        .iter()
                        .any(|pattern| pattern.slug().is_none_or(|slug| slug == connection.name_prefix()))
            }
        }
    }

    pub(crate) fn includes(&self, known: &Known, name: &str) -> bool {
        self.may_include(known)
            && match self.scope {
                Scope::Toolkit => {
                    let prefix = known.connection.name_prefix();
                    self.patterns.iter().any(|pattern| pattern.matches(&prefix, name))
                }
                _ => true,
            }
    }
}

/// Both lists empty: whoever is granted the connections.
fn admits(toolkit: &Toolkit, context: &CallContext) -> bool {
    let member = context.principal.member();
    if let Some(owner) = toolkit.owner {
        return member == Some(owner);
    }
    (toolkit.members.is_empty() && toolkit.teams.is_empty())
        || member.is_some_and(|member| toolkit.members.contains(&member))
        || toolkit.teams.iter().any(|team| context.principal.teams.contains(team))
}
