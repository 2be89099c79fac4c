//! Reading an upstream's tools into the catalogue, and what the pin says of each.
//!
//! The first listing of a connection is trusted. What is added or changed later is held until an admin approves it;
//! what is no longer listed is kept as gone. While an upstream is down nothing changes.
//!
//! A definition is read by everybody who may search, so the credential it was listed with is taken out first; a tool
//! that has it in its text is held for an admin to see.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use switchboard_catalog::{Definition, DefinitionLimits, ExcludedTool};
use switchboard_domain::{CapabilityKind, CapabilityState, Connection, Timestamp};
use switchboard_storage::{self as storage, CapabilityRow, Db, StorageError};

use crate::{
    redact::redact,
    upstream::{Ask, Greeting, UpstreamError, UpstreamLimits, UpstreamSession},
};

/// What an upstream listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) tools: Vec<ListedTool>,
    pub(crate) excluded: Vec<ExcludedTool>,
    /// How long the upstream says its list stays good (2026-07-28, caching), in milliseconds.
    pub(crate) ttl_millis: Option<u64>,
}

/// A tool as it is stored: without our credential, should the upstream have put it in.
#[derive(Debug)]
pub(crate) struct ListedTool {
    pub(crate) definition: Definition,
    pub(crate) raw: String,
    /// It repeated the credential: never trusted, not even in the first listing.
    pub(crate) repeats_credential: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    ttl_ms: Option<f64>,
}

/// Pages through `tools/list`, bounded in pages, tools and time; a cursor that comes back ends it.
pub(crate) async fn list_tools(
    session: &UpstreamSession,
    limits: &UpstreamLimits,
) -> Result<Listing, UpstreamError> {
    let mut listing = Listing::default();
    let mut names = HashSet::new();
    let mut cursors = HashSet::new();
    let mut cursor: Option<String> = None;
    let instructions = session.greeting().instructions.clone();
    for _ in 0..limits.max_pages {
        let members = match &cursor {
            Some(cursor) => format!("\"cursor\":{}", serde_json::Value::from(cursor.as_str())),
            None => String::new(),
        };
        let result = session
            .request(&Ask {
                method: "tools/list",
                members: &members,
                name: None,
                params: &[],
                identity: None,
                deadline: limits.open,
                deadline_name: "upstream.open_timeout",
                max_bytes: limits.max_answer_bytes,
                side: None,
            })
            .await?;
        let page: Page<'_> = serde_json::from_slice(&result)
            .map_err(|error| UpstreamError::Protocol(format!("its list of tools can't be read: {error}")))?;
        listing.ttl_millis = page.ttl_ms.filter(|ttl| *ttl >= 0.0).map(|ttl| ttl as u64);
        for raw in page.tools {
            if names.len() >= limits.max_tools {
                return Err(UpstreamError::Protocol(format!(
                    "it lists more than {} tools (limit `upstream.max_tools`)",
                    limits.max_tools
                )));
            }
            let sent = Bytes::copy_from_slice(raw.get().as_bytes());
            let clean = redact(sent.clone(), &session.auth.secrets);
            let repeats_credential = clean != sent;
            let raw = String::from_utf8_lossy(&clean).into_owned();
            match Definition::parse(&raw, instructions.as_deref(), &DefinitionLimits::default()) {
                // Of two tools of one name the first counts.
                Ok(definition) if names.insert(definition.name().to_owned()) => {
                    listing.tools.push(ListedTool { definition, raw, repeats_credential });
                }
                Ok(_) => {}
                Err(excluded) => listing.excluded.push(excluded),
            }
        }
        match page.next_cursor {
            None => return Ok(listing),
            Some(next) if !cursors.insert(next.clone()) => {
                return Err(UpstreamError::Protocol("its pages of tools never end".into()));
            }
            Some(next) => cursor = Some(next),
        }
    }
    Err(UpstreamError::Protocol(format!(
        "it has more than {} pages of tools (limit `upstream.max_pages`)",
        limits.max_pages
    )))
}

/// What a listing changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) approved: usize,
    pub(crate) held: usize,
    pub(crate) gone: usize,
}

/// Compares a listing with what is stored and writes the difference in one transaction.
pub(crate) async fn store(
    db: &Db,
    connection: &Connection,
    greeting: &Greeting,
    era: switchboard_domain::ProtocolEra,
    listing: &Listing,
    now: Timestamp,
) -> Result<Changed, StorageError> {
    let (organization, id) = (connection.organization, connection.id);
    let mut tx = db.write().await?;
    let stored: HashMap<String, storage::Definition> = tx
        .capabilities()
        .all_definitions(organization, id)
        .await?
        .into_iter()
        .filter(|(kind, _, _)| *kind == CapabilityKind::Tool)
        .map(|(_, name, definition)| (name, definition))
        .collect();
    let first = stored.is_empty();
    let mut changed = Changed::default();
    let mut rows = Vec::new();
    for tool in &listing.tools {
        let trusted = first && !tool.repeats_credential;
        if let Some(row) = row_of(tool, stored.get(tool.definition.name()), trusted, now) {
            match row.state {
                CapabilityState::Held => changed.held += 1,
                _ => changed.approved += 1,
            }
            rows.push(row);
        }
    }
    let listed: HashSet<&str> = listing.tools.iter().map(|tool| tool.definition.name()).collect();
    let gone: Vec<(CapabilityKind, &str)> = stored
        .iter()
        .filter(|(name, row)| !listed.contains(name.as_str()) && row.state != CapabilityState::Gone)
        .map(|(name, _)| (CapabilityKind::Tool, name.as_str()))
        .collect();
    changed.gone = gone.len();
    if connection.era != Some(era) || connection.instructions != greeting.instructions {
        tx.connections().set_era(organization, id, era, greeting.instructions.as_deref()).await?;
    }
    tx.capabilities().apply_listing(organization, id, &rows, &gone, now).await?;
    tx.commit().await?;
    Ok(changed)
}

/// The row to write, if anything is to be written.
fn row_of(
    tool: &ListedTool,
    stored: Option<&storage::Definition>,
    trusted: bool,
    now: Timestamp,
) -> Option<CapabilityRow> {
    let ListedTool { definition, raw, .. } = tool;
    let fingerprint = definition.fingerprint();
    let (state, approved_fingerprint, approved) = match stored {
        None if trusted => (CapabilityState::Approved, Some(fingerprint), Some(raw.clone())),
        None => (CapabilityState::Held, None, None),
        Some(row) => {
            let state = if row.approved_fingerprint == Some(fingerprint) {
                CapabilityState::Approved
            } else if row.state == CapabilityState::Rejected && row.fingerprint == fingerprint {
                CapabilityState::Rejected
            } else {
                CapabilityState::Held
            };
            if row.state == state && row.fingerprint == fingerprint {
                return None;
            }
            (state, row.approved_fingerprint, row.approved.clone())
        }
    };
    Some(CapabilityRow {
        kind: CapabilityKind::Tool,
        name: definition.name().to_owned(),
        state,
        fingerprint,
        approved_fingerprint,
        title: definition.title().map(str::to_owned),
        summary: definition.summary(),
        definition: raw.clone(),
        approved_definition: approved,
        first_seen_at: now,
        updated_at: now,
    })
}
