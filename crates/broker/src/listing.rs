//! Reading what an upstream lists into the catalogue, and what the pin says of each definition.
//!
//! The first listing of a connection is trusted. What is added or changed later is held until an admin approves it;
//! what is no longer listed is kept as gone. While an upstream is down nothing changes. Prompts, resources and templates
//! are pinned like tools (`listing/others.rs`).
//!
//! A definition is read by everybody who may search, so the credential it was listed with is taken out first; one
//! that has it in its text is held for an admin to see.

mod harmless;
mod others;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_catalog::{Definition, DefinitionLimits, Excluded};
use switchboard_domain::{CapabilityKind, CapabilityState, Connection, Timestamp};
use switchboard_mcp::RawObject;
use switchboard_storage::{self as storage, CapabilityRow, Db, StorageError};

use crate::{
    redact::redact,
    upstream::{Ask, Greeting, UpstreamError, UpstreamLimits, UpstreamSession},
};

pub(crate) use harmless::approves_harmless_changes;
use harmless::{is_harmless, let_through};
pub(crate) use others::{list_others, pins_resources};

/// What an upstream listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) items: Vec<Listed>,
    /// Kinds whose lists were read to their end: only of those it is known what is gone.
    pub(crate) kinds: Vec<CapabilityKind>,
    pub(crate) excluded: Vec<Excluded>,
    /// How long the upstream says its list of tools stays good (2026-07-28, caching), in milliseconds.
    pub(crate) ttl_millis: Option<u64>,
}

impl Listing {
    pub(crate) fn tools(&self) -> usize {
        self.items.iter().filter(|item| item.definition.kind() == CapabilityKind::Tool).count()
    }
}

/// A definition as it is stored: without our credential, should the upstream have put it in.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) definition: Definition,
    pub(crate) raw: String,
    /// It repeated the credential: never trusted, not even in the first listing.
    pub(crate) repeats_credential: bool,
}

/// One of an upstream's lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    kind: CapabilityKind,
    method: &'static str,
    /// The member of a result that holds it, and the word for it.
    member: &'static str,
}

const TOOLS: List = List { kind: CapabilityKind::Tool, method: "tools/list", member: "tools" };

/// `tools/list`, all pages.
pub(crate) async fn list_tools(
    session: &UpstreamSession,
    limits: &UpstreamLimits,
) -> Result<Listing, UpstreamError> {
    let mut listing = Listing::default();
    read(TOOLS, session, limits, &mut listing).await?;
    listing.kinds.push(CapabilityKind::Tool);
    Ok(listing)
}

/// Pages through a list, bounded in pages, definitions and time; a cursor that comes back ends it.
async fn read(
    list: List,
    session: &UpstreamSession,
    limits: &UpstreamLimits,
    listing: &mut Listing,
) -> Result<(), UpstreamError> {
    let List { kind, method, member } = list;
    let unreadable = |why: &dyn std::fmt::Display| {
        UpstreamError::Protocol(format!("its list of {member} can't be read: {why}"))
    };
    let mut names = HashSet::new();
    let mut cursors = HashSet::new();
    let mut members = String::new();
    let instructions = session.greeting().instructions.clone();
    for _ in 0..limits.max_pages {
        let result = session.request(&asked(method, &members, limits)).await?;
        let page: RawObject<'_> = serde_json::from_slice(&result).map_err(|error| unreadable(&error))?;
        let items = page.get(member).ok_or_else(|| unreadable(&format!("missing field `{member}`")))?;
        let items: Vec<&RawValue> = serde_json::from_str(items.get()).map_err(|error| unreadable(&error))?;
        if kind == CapabilityKind::Tool {
            let ttl = page.read::<f64>("ttlMs").filter(|ttl| *ttl >= 0.0);
            listing.ttl_millis = ttl.map(|ttl| ttl as u64);
        }
        for raw in items {
            if names.len() >= limits.max_tools {
                return Err(UpstreamError::Protocol(format!(
                    "it lists more than {} {member} (limit `upstream.max_tools`)",
                    limits.max_tools
                )));
            }
            let sent = Bytes::copy_from_slice(raw.get().as_bytes());
            let clean = redact(sent.clone(), &session.auth.secrets);
            let repeats_credential = clean != sent;
            let raw = String::from_utf8_lossy(&clean).into_owned();
            match Definition::parse_as(kind, &raw, instructions.as_deref(), &DefinitionLimits::default()) {
                // Of two definitions of one name the first counts.
                Ok(definition) if names.insert(definition.name().to_owned()) => {
                    listing.items.push(Listed { definition, raw, repeats_credential });
                }
                Ok(_) => {}
                Err(excluded) => listing.excluded.push(excluded),
            }
        }
        let next = match page.get("nextCursor").filter(|raw| raw.get() != "null") {
            None => return Ok(()),
            Some(raw) => serde_json::from_str::<String>(raw.get()).map_err(|error| unreadable(&error))?,
        };
        members = format!("\"cursor\":{}", serde_json::Value::from(next.as_str()));
        if !cursors.insert(next) {
            return Err(UpstreamError::Protocol(format!("its pages of {member} never end")));
        }
    }
    Err(UpstreamError::Protocol(format!(
        "it has more than {} pages of {member} (limit `upstream.max_pages`)",
        limits.max_pages
    )))
}

fn asked<'a>(method: &'a str, members: &'a str, limits: &UpstreamLimits) -> Ask<'a> {
    Ask {
        method,
        members,
        name: None,
        params: &[],
        identity: None,
        deadline: limits.open,
        deadline_name: "upstream.open_timeout",
        max_bytes: limits.max_answer_bytes,
        side: None,
    }
}

/// What a listing changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) approved: usize,
    pub(crate) held: usize,
    pub(crate) gone: usize,
    /// Names of tools whose change was approved without a person: see `listing/harmless.rs`.
    pub(crate) harmless: Vec<String>,
}

type Key = (CapabilityKind, String);

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
    let stored: HashMap<Key, storage::Definition> = tx
        .capabilities()
        .all_definitions(organization, id)
        .await?
        .into_iter()
        .map(|(kind, name, definition)| ((kind, name), definition))
        .collect();
    let settings = tx.organizations().find(organization).await?.map(|found| found.settings);
    let lets_through = settings.as_ref().is_some_and(approves_harmless_changes);
    let first_tools = !stored.keys().any(|(kind, _)| *kind == CapabilityKind::Tool);
    let (prompts_listed, resources_listed) = tx.connections().listed(organization, id).await?;
    let is_first = |kind| match kind {
        CapabilityKind::Tool => first_tools,
        CapabilityKind::Prompt => !prompts_listed,
        CapabilityKind::Resource => !resources_listed,
    };
    let mut changed = Changed::default();
    let mut rows = Vec::new();
    let mut listed: HashSet<Key> = HashSet::with_capacity(listing.items.len());
    for item in &listing.items {
        let (kind, name) = (item.definition.kind(), item.definition.name());
        let trusted = is_first(kind) && !item.repeats_credential;
        let key = (kind, name.to_owned());
        let before = stored.get(&key);
        if let Some(mut row) = row_of(item, before, trusted, now) {
            let instructions = greeting.instructions.as_deref();
            if lets_through && before.is_some_and(|it| is_harmless(item, it, instructions)) {
                let_through(&mut row, &mut changed);
            }
            match row.state {
                CapabilityState::Held => changed.held += 1,
                _ => changed.approved += 1,
            }
            rows.push(row);
        }
        listed.insert(key);
    }
    let gone: Vec<(CapabilityKind, &str)> = stored
        .iter()
        .filter(|((kind, _), row)| listing.kinds.contains(kind) && row.state != CapabilityState::Gone)
        .filter(|(key, _)| !listed.contains(*key))
        .map(|((kind, name), _)| (*kind, name.as_str()))
        .collect();
    changed.gone = gone.len();
    let waits =
        |row: &storage::Definition| matches!(row.state, CapabilityState::Held | CapabilityState::Rejected);
    // While something waits, what was approved is older than what was said last.
    if connection.instructions != greeting.instructions && !first_tools && !stored.values().any(waits) {
        tx.instructions().remember(organization, id, connection.instructions.as_deref()).await?;
    }
    if connection.era != Some(era) || connection.instructions != greeting.instructions {
        tx.connections().set_era(organization, id, era, greeting.instructions.as_deref()).await?;
    }
    let read = |kind| !is_first(kind) || listing.kinds.contains(&kind);
    let now_listed = (read(CapabilityKind::Prompt), read(CapabilityKind::Resource));
    if now_listed != (prompts_listed, resources_listed) {
        tx.connections().set_listed(organization, id, now_listed).await?;
    }
    tx.capabilities().apply_listing(organization, id, &rows, &gone, now).await?;
    if !gone.is_empty() || wants_order(listing, &stored) {
        let order: Vec<(CapabilityKind, &str)> =
            listing.items.iter().map(|item| (item.definition.kind(), item.definition.name())).collect();
        tx.capabilities().set_order(organization, id, &order).await?;
    }
    tx.commit().await?;
    Ok(changed)
}

/// Whether the order of this list is to be written: it names something that had no place. The order alone is no
/// news, or an upstream that shuffles its list would change everybody's tools each time it is looked at.
fn wants_order(listing: &Listing, stored: &HashMap<Key, storage::Definition>) -> bool {
    listing.items.iter().any(|item| {
        let key = (item.definition.kind(), item.definition.name().to_owned());
        stored.get(&key).is_none_or(|row| row.ordinal == 0 || row.state == CapabilityState::Gone)
    })
}

/// The row to write, if anything is to be written.
fn row_of(
    item: &Listed,
    stored: Option<&storage::Definition>,
    trusted: bool,
    now: Timestamp,
) -> Option<CapabilityRow> {
    let Listed { definition, raw, .. } = item;
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
        kind: definition.kind(),
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
