//! What one connection lists, as decisions need it, and how it gets into the search index.

use std::collections::HashMap;

use switchboard_catalog::{
    ConnectionLabel, Definition, DefinitionLimits, Index, common_spelling, fits_template,
};
use switchboard_domain::{CapabilityKind, CapabilityState, Connection, Fingerprint};

/// One capability, as far as a decision needs it; what a match shows is in the index.
#[derive(Debug, Clone)]
pub struct Capability {
    pub kind: CapabilityKind,
    pub state: CapabilityState,
    /// Of the definition as approved (as listed, while nothing was approved).
    pub fingerprint: Fingerprint,
    pub read_only_hint: Option<bool>,
    pub destructive_hint: Option<bool>,
}

impl Capability {
    /// Of a resource that no list names: one that a result links to, or one in a member's own account.
    pub(crate) const fn unlisted(kind: CapabilityKind) -> Self {
        Self {
            kind,
            state: CapabilityState::Approved,
            fingerprint: Fingerprint([0; 32]),
            read_only_hint: None,
            destructive_hint: None,
        }
    }
}

/// What one connection lists, by the upstream's own names, at one version of its catalogue.
#[derive(Debug, Default)]
pub struct ConnectionCatalog {
    pub version: i64,
    /// Its tools.
    pub capabilities: HashMap<Box<str>, Capability>,
    pub(crate) prompts: HashMap<Box<str>, Capability>,
    /// By URI, and templates by theirs.
    pub(crate) resources: HashMap<Box<str>, Capability>,
    /// Resources that are listed in another spelling than the common one, by that.
    spellings: HashMap<Box<str>, Box<str>>,
}

impl ConnectionCatalog {
    /// What is not a tool, by kind.
    pub(crate) fn others(&self, kind: CapabilityKind) -> &HashMap<Box<str>, Capability> {
        match kind {
            CapabilityKind::Resource => &self.resources,
            CapabilityKind::Tool | CapabilityKind::Prompt => &self.prompts,
        }
    }

    /// The listed spelling of a URI that is written otherwise: what is decided about a resource holds however it is
    /// spelled.
    pub(crate) fn listed_as(&self, uri: &str) -> Option<&str> {
        if self.resources.contains_key(uri) {
            return None;
        }
        let common = common_spelling(uri)?;
        match self.resources.get_key_value(common.as_str()) {
            Some((listed, _)) => Some(listed),
            None => self.spellings.get(common.as_str()).map(|listed| &**listed),
        }
    }

    /// What is known of a URI: its own definition, or that of a template that it may be of. An approved template lets it
    /// through; a held one alone holds it.
    pub(crate) fn of_uri(&self, uri: &str) -> Option<&Capability> {
        self.resources.get(uri).or_else(|| {
            let fitting = self
                .resources
                .iter()
                .filter(|(template, _)| template.contains('{') && fits_template(template, uri));
            fitting.map(|(_, found)| found).min_by_key(|found| found.state != CapabilityState::Approved)
        })
    }
}

/// Puts one connection's capabilities into the index, and returns what decisions need of them.
pub(crate) fn index_connection(
    index: &Index,
    connection: &Connection,
    version: i64,
    rows: Vec<(CapabilityKind, String, switchboard_storage::Definition)>,
) -> ConnectionCatalog {
    let mut capabilities = HashMap::with_capacity(rows.len());
    let (mut prompts, mut resources) = (HashMap::new(), HashMap::new());
    let mut shown = Vec::with_capacity(rows.len());
    for (kind, name, row) in rows {
        let fingerprint = row.approved_fingerprint.unwrap_or(row.fingerprint);
        let pinned = Capability { state: row.state, fingerprint, ..Capability::unlisted(kind) };
        match kind {
            CapabilityKind::Tool => {}
            CapabilityKind::Prompt => {
                prompts.insert(name.into_boxed_str(), pinned);
                continue;
            }
            CapabilityKind::Resource => {
                resources.insert(name.into_boxed_str(), pinned);
                continue;
            }
        }
        let raw = row.approved.as_deref().unwrap_or(&row.listed);
        let Ok(definition) =
            Definition::parse(raw, connection.instructions.as_deref(), &DefinitionLimits::default())
        else {
            continue;
        };
        let capability = Capability {
            read_only_hint: definition.read_only_hint(),
            destructive_hint: definition.destructive_hint(),
            ..pinned
        };
        if capability.state == CapabilityState::Approved && connection.tools.admits(&name) {
            shown.push(definition);
        }
        capabilities.insert(name.into_boxed_str(), capability);
    }
    let prefix = connection.name_prefix();
    let label = ConnectionLabel { id: connection.id, slug: &prefix, name: &connection.name };
    index.replace(label, &shown);
    let spellings = resources.keys().filter_map(|uri| {
        let common = common_spelling(uri).filter(|common| **common != **uri)?;
        Some((common.into_boxed_str(), uri.clone()))
    });
    let spellings = spellings.collect();
    ConnectionCatalog { version, capabilities, prompts, resources, spellings }
}
