//! `search_capabilities`: over all connections at once, from the index, never by asking upstreams.
//!
//! The same policy function that decides calls decides what is shown. A granted connection that can't be used now
//! is not silently absent: it is a match of its own kind, which says who must do what.

mod matches;

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchboard_catalog::{ConnectionSet, EntryRef, SearchQuery};
use switchboard_domain::{CallError, ConnectionId, ErrorCode, Resource, Slug};
use switchboard_policy::{Listed, Reason, RuleAction};

use crate::{
    Broker, CallContext, CallFailure, Detail, Search,
    snapshot::{Known, Snapshot},
    surface::{OnConnection, Surface},
    text,
};

const DEFAULT_LIMIT: u32 = 5;
const MAX_LIMIT: u32 = 20;
/// Most connections without use that one answer mentions.
const MAX_STATUSES: usize = 5;

/// What one caller may see of an organization: the same for every match of a search.
pub(crate) struct View<'s> {
    snapshot: &'s Snapshot,
    surface: &'s Surface<'s>,
    context: &'s CallContext,
    /// Connections that a grant reaches and this endpoint includes, closed ones too.
    granted: Vec<&'s Known>,
}

impl<'s> View<'s> {
    pub(crate) fn of(snapshot: &'s Snapshot, context: &'s CallContext, surface: &'s Surface<'s>) -> Self {
        let granted = snapshot
            .connections
            .values()
            .filter(|known| surface.may_include(known))
            .filter(|known| {
                !matches!(
                    surface.on(known, context).closed(),
                    Some(Reason::NotGranted | Reason::Staged | Reason::NotSelected | Reason::ExcludedByMode)
                )
            })
            .collect();
        Self { snapshot, surface, context, granted }
    }

    pub(crate) fn usable(&self) -> ConnectionSet {
        self.granted
            .iter()
            .filter(|known| known.connection.switches.enabled)
            .map(|known| known.connection.id)
            .collect()
    }

    fn on<'v>(&'v self, known: &'v Known) -> OnConnection<'v> {
        self.surface.on(known, self.context)
    }

    /// Whether a match may be shown; what search shows, execute would decide by the same function.
    pub(crate) fn shows(&self, entry: &EntryRef<'_>) -> bool {
        let known = self.snapshot.connections.get(&entry.connection());
        known.is_some_and(|known| matches!(list(known, &self.on(known), entry), Listed::Shown(_)))
    }

    fn decision(&self, on: Option<&OnConnection<'_>>, entry: &EntryRef<'_>) -> RuleAction {
        let known = self.snapshot.connections.get(&entry.connection());
        match known.zip(on).map(|(known, on)| list(known, on, entry)) {
            Some(Listed::Shown(trace)) => trace.action,
            _ => RuleAction::Block,
        }
    }
}

fn list(known: &Known, on: &OnConnection<'_>, entry: &EntryRef<'_>) -> Listed {
    match known.catalog.capabilities.get(entry.name()) {
        Some(capability) => on.list(entry.name(), capability),
        None => Listed::Hidden(Reason::Gone),
    }
}

impl Broker {
    /// Answers `search_capabilities`.
    pub async fn search(&self, context: &CallContext, search: &Search) -> Result<Value, CallFailure> {
        let refuse = |error| CallFailure::unrecorded(error);
        self.may_list(context).map_err(refuse)?;
        let snapshot =
            self.snapshot(context.principal.organization).ok_or_else(|| refuse(text::unavailable()))?;
        let surface = Surface::of(&snapshot, context);
        let view = View::of(&snapshot, context, &surface);
        let limit = search.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT) as usize;
        let query = search.query.as_deref().unwrap_or("");
        let offset = read_cursor(search, context).map_err(refuse)?;
        let connection = match search.connection.as_deref().filter(|slug| !slug.is_empty()) {
            Some(slug) => Some(named(&view, slug).ok_or_else(|| refuse(unknown_connection(&view, slug)))?),
            None => None,
        };
        metrics::counter!("switchboard_searches_total").increment(1);
        let (usable, unusable): (Vec<&Known>, Vec<&Known>) =
            view.granted.iter().copied().partition(|known| self.is_usable(known, context));
        let allowed: ConnectionSet = usable.iter().map(|known| known.connection.id).collect();
        // A policy per connection, looked up once: the filter runs for every candidate.
        let policies: HashMap<ConnectionId, OnConnection<'_>> =
            usable.iter().map(|known| (known.connection.id, view.on(known))).collect();
        let shown = |entry: EntryRef<'_>| {
            let id = entry.connection();
            match (snapshot.connections.get(&id), policies.get(&id)) {
                (Some(known), Some(on)) => matches!(list(known, on, &entry), Listed::Shown(_)),
                _ => false,
            }
        };
        let asked = SearchQuery { text: query, connection, allowed: &allowed, limit, offset };
        let found = snapshot.index.search(&asked, Some(&shown));
        let detail = search.detail.unwrap_or_default();
        let mut matches = Vec::with_capacity(found.hits.len());
        for hit in &found.hits {
            let entry = hit.entry();
            let decision = view.decision(policies.get(&entry.connection()), &entry);
            matches.push(self.describe(&snapshot, &entry, decision, detail).await);
        }
        let next = offset + found.hits.len();
        let statuses = if offset == 0 {
            self.statuses(&view, &unusable, query, connection, found.hits.is_empty() || !found.fits_well)
        } else {
            Vec::new()
        };
        let total = found.total + statuses.len();
        let empty = matches.is_empty();
        let mut out = json!({
            "matches": matches,
            "total": total,
            "coverage": {
                "connections_searched": connection.map_or(usable.len(), |_| 1),
                "connections_total": view.granted.len()
            }
        });
        if next < found.total {
            out["next_cursor"] = json!(write_cursor(next, query, context));
        }
        if let Some(hint) = hint(&view, query, empty, found.fits_well) {
            out["hint"] = json!(hint);
        }
        if detail == Detail::Signature {
            matches::shorten(&mut out, &found.hits);
        }
        if let Some(matches) = out["matches"].as_array_mut() {
            matches.extend(statuses);
        }
        Ok(out)
    }

    /// Whether this caller's token may see tools at all.
    pub fn may_list(&self, context: &CallContext) -> Result<(), CallError> {
        use switchboard_domain::Scope;
        let scopes = context.principal.scopes;
        let may = [Scope::McpRead, Scope::McpWrite, Scope::McpPlan].into_iter().any(|s| scopes.contains(s));
        if may {
            return Ok(());
        }
        Err(CallError::new(
            ErrorCode::InsufficientScope,
            "This token lacks the scope mcp:read, which searching needs. Use a token that has it.",
        )
        .details(json!({ "scope": "mcp:read" })))
    }

    /// Whether calls to this connection are worth trying for this caller.
    fn is_usable(&self, known: &Known, context: &CallContext) -> bool {
        let has_tools = !known.catalog.capabilities.is_empty();
        self.status_for(known, context).status.is_usable() && has_tools
    }

    /// Granted connections that can't be used now, as far as they may be what was looked for.
    fn statuses(
        &self,
        view: &View<'_>,
        unusable: &[&Known],
        query: &str,
        connection: Option<ConnectionId>,
        found_little: bool,
    ) -> Vec<Value> {
        let words = query.to_lowercase();
        let named = |known: &Known| {
            let (slug, name) = (known.connection.slug.as_str(), known.connection.name.to_lowercase());
            words
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| word.len() > 2)
                .any(|word| slug.contains(word) || name.contains(word))
        };
        let ids: ConnectionSet = unusable.iter().map(|known| known.connection.id).collect();
        let asked = SearchQuery { text: query, connection, allowed: &ids, limit: 50, offset: 0 };
        let by_tools: Vec<ConnectionId> = if ids.is_empty() || query.is_empty() {
            Vec::new()
        } else {
            let hits = view.snapshot.index.search(&asked, None).hits;
            hits.iter().map(|hit| hit.entry().connection()).collect()
        };
        let mut shown: Vec<&Known> = unusable
            .iter()
            .copied()
            .filter(|known| connection.is_none_or(|id| id == known.connection.id))
            .filter(|known| {
                query.is_empty()
                    || connection.is_some()
                    || named(known)
                    || by_tools.contains(&known.connection.id)
                    || (found_little && known.catalog.capabilities.is_empty())
            })
            .collect();
        shown.sort_by(|left, right| left.connection.slug.as_str().cmp(right.connection.slug.as_str()));
        shown
            .into_iter()
            .take(MAX_STATUSES)
            .map(|known| matches::of_status(known, self.status_for(known, view.context)))
            .collect()
    }
}

fn named(view: &View<'_>, slug: &str) -> Option<ConnectionId> {
    let (personal, bare) = slug.strip_prefix('~').map_or((false, slug), |bare| (true, bare));
    let bare: Slug = bare.parse().ok()?;
    let known = view.snapshot.named(personal, &bare, view.context.principal.member())?;
    let id = known.connection.id;
    view.granted.iter().any(|granted| granted.connection.id == id).then_some(id)
}

fn unknown_connection(view: &View<'_>, slug: &str) -> CallError {
    let mut slugs: Vec<String> = view.granted.iter().map(|known| known.connection.name_prefix()).collect();
    slugs.sort();
    slugs.truncate(20);
    CallError::new(
        ErrorCode::UnknownCapability,
        format!("There is no connection `{}` for you here.", text::one_line(slug, 80)),
    )
    .details(json!({ "connections": slugs }))
}

fn hint(view: &View<'_>, query: &str, empty: bool, fits_well: bool) -> Option<String> {
    if view.granted.is_empty() && view.context.principal.toolkits.is_some() {
        return Some(
            "The toolkits that this client was narrowed to when it signed in show nothing to you now. \
             Sign in again to choose others."
                .into(),
        );
    }
    let resource = &view.context.resource;
    if view.granted.is_empty() && matches!(resource, Resource::Toolkit(_) | Resource::Connection(_)) {
        return Some(format!(
            "The address {} shows nothing to you. Check its spelling; if it is right, ask an admin of your organization \
             whether it is for you and its connections are granted to you.",
            resource.path()
        ));
    }
    if view.granted.is_empty() {
        return Some(
            "No connection is granted to you yet. Ask an admin of your organization for access.".into(),
        );
    }
    match (empty, fits_well || query.is_empty()) {
        (true, _) => {
            Some("Nothing fits. Try other words, fewer words, or an empty query to list everything.".into())
        }
        (false, false) => Some("Nothing fits well. Try other words, or name the service.".into()),
        (false, true) => None,
    }
}

/// A cursor is an offset, bound to the query and the caller so that it means nothing elsewhere.
fn write_cursor(offset: usize, query: &str, context: &CallContext) -> String {
    let mark = cursor_mark(query, context);
    URL_SAFE_NO_PAD.encode(format!("{offset}:{mark}"))
}

fn read_cursor(search: &Search, context: &CallContext) -> Result<usize, CallError> {
    let Some(cursor) = search.cursor.as_deref().filter(|cursor| !cursor.is_empty()) else { return Ok(0) };
    let query = search.query.as_deref().unwrap_or("");
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (offset, mark) = text.split_once(':')?;
        (mark == cursor_mark(query, context)).then(|| offset.parse::<usize>().ok()).flatten()
    };
    read().filter(|offset| *offset <= 1_000_000).ok_or_else(|| {
        CallError::new(
            ErrorCode::InvalidArguments,
            "This cursor belongs to another search. Give the same query with its own next_cursor, or none.",
        )
    })
}

fn cursor_mark(query: &str, context: &CallContext) -> String {
    let mut digest = Sha256::new();
    digest.update(context.principal.organization.as_uuid().as_bytes());
    digest.update(context.principal.caller.to_string());
    digest.update(context.resource.path());
    digest.update(query);
    hex::encode(&digest.finalize()[..6])
}
