//! What is not a tool on a direct surface: prompts, resources and their templates.
//!
//! They are listed live, with the caller's own credential, and shown as far as the same pins and rules allow that decide
//! calls: a definition that is not the approved one is not there until an admin approved it. A
//! connection's own endpoint keeps the upstream's names and URIs; on a toolkit a prompt is named like a tool, and a URI
//! carries its connection (`addresses.rs`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_catalog::{Definition, DefinitionLimits, direct_names};
use switchboard_domain::{
    CallError, Caller, CapabilityKind, CapabilityState, CredentialMode, CredentialOwner, Resource,
};
use switchboard_mcp::RawObject;
use switchboard_policy::Listed;

use super::{
    ViewKey,
    addresses::{named_by_uri, uri_on_toolkit},
};
use crate::{
    Again, Broker, CallContext, CallFailure, Execute, Via,
    connection_catalog::Capability,
    listing::pins_resources,
    maintenance,
    redact::redact,
    snapshot::{Known, Snapshot},
    surface::Surface,
    text,
    upstream::{Ask, News, Offers, Proof, UpstreamError, UpstreamSession},
};

/// How long a list made from live answers is kept.
const KEPT: Duration = Duration::from_secs(5);

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listing {
    Prompts,
    Resources,
    Templates,
}

impl Listing {
    const fn method(self) -> &'static str {
        match self {
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of a result that holds the list.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an item that names it.
    const fn key(self) -> &'static str {
        match self {
            Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    const fn kind(self) -> CapabilityKind {
        match self {
            Self::Prompts => CapabilityKind::Prompt,
            Self::Resources | Self::Templates => CapabilityKind::Resource,
        }
    }

    const fn is_offered(self, offers: Offers) -> bool {
        match self {
            Self::Prompts => offers.prompts,
            Self::Resources | Self::Templates => offers.resources,
        }
    }
}

/// A list of a direct surface, as one caller sees it.
#[derive(Debug)]
pub struct DirectItems {
    /// The JSON array.
    pub items: Bytes,
    /// What each name stands for.
    pub names: HashMap<Box<str>, Box<str>>,
}

pub(crate) type KeptItems = moka::sync::Cache<(ViewKey, Listing), Arc<DirectItems>>;

pub(crate) fn kept_items() -> KeptItems {
    moka::sync::Cache::builder()
        .max_capacity(16 * 1024 * 1024)
        .weigher(|_, list: &Arc<DirectItems>| u32::try_from(list.items.len() + 256).unwrap_or(u32::MAX))
        .time_to_live(KEPT)
        .build()
}

impl Broker {
    /// A list of this endpoint, for this caller.
    pub async fn direct_items(
        &self,
        context: &CallContext,
        listing: Listing,
    ) -> Result<Arc<DirectItems>, CallError> {
        self.may_list(context)?;
        let snapshot = self.snapshot(context.principal.organization).ok_or_else(text::unavailable)?;
        let key = (ViewKey::of(&snapshot, context), listing);
        if let Some(kept) = self.direct_items_kept().get(&key) {
            return Ok(kept);
        }
        let surface = Surface::of(&snapshot, context);
        let mut shown = Vec::new();
        for known in included(&snapshot, &surface) {
            let on = surface.on(known, context);
            if on.closed().is_some() {
                continue;
            }
            let items = match self.listed_live(context, known, listing).await {
                Ok(items) => items,
                // What one server can't say hides nothing of the others.
                Err(error) => {
                    tracing::info!(connection = %known.connection.slug, %error, "a list can't be read");
                    continue;
                }
            };
            let prefix = known.connection.name_prefix();
            for LiveItem { name, item, capability } in items {
                if let Listed::Shown(_) = on.list(&name, &capability) {
                    shown.push(Item { slug: prefix.clone(), name, item });
                }
            }
        }
        let made = Arc::new(render(listing, shown, is_renamed(context)));
        self.direct_items_kept().insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// What a prompt's name on this endpoint stands for.
    pub async fn direct_prompt(
        &self,
        context: &CallContext,
        name: &str,
    ) -> Result<Option<Box<str>>, CallError> {
        match &context.resource {
            Resource::Connection(slug) => Ok(Some(format!("{slug}.{name}").into())),
            _ => Ok(self.direct_items(context, Listing::Prompts).await?.names.get(name).cloned()),
        }
    }

    /// What a resource's URI on this endpoint stands for.
    pub fn direct_resource(&self, context: &CallContext, uri: &str) -> Option<Box<str>> {
        match &context.resource {
            Resource::Connection(slug) => Some(format!("{slug}.{uri}").into()),
            _ => named_by_uri(uri).map(|(slug, uri)| format!("{slug}.{uri}").into()),
        }
    }

    /// Begins to watch a resource for a client that listens, or ends it: a call like any other.
    pub async fn watch_resource(
        &self,
        context: &CallContext,
        capability: &str,
        begins: bool,
    ) -> Result<(), CallFailure> {
        let execute = Execute {
            name: capability.into(),
            arguments: None,
            schema_digest: None,
            intent: None,
            approval_id: None,
            via: if begins { Via::Subscribe } else { Via::Unsubscribe },
            side: None,
            again: Again::default(),
        };
        self.execute(context, &execute).await.map(drop)
    }

    /// What the upstreams behind this endpoint offer, together. Those that can't be asked offer nothing.
    pub async fn direct_offers(&self, context: &CallContext) -> Offers {
        let Some(snapshot) = self.snapshot(context.principal.organization) else { return Offers::default() };
        let surface = Surface::of(&snapshot, context);
        let mut all = Offers::default();
        for known in included(&snapshot, &surface) {
            if surface.on(known, context).closed().is_some() {
                continue;
            }
            if let Ok(session) = self.listing_session(context, known).await {
                all = all.with(session.greeting().offers);
            }
        }
        all
    }

    /// Whether this caller, at this endpoint, hears what a connection says; how that connection's names begin.
    pub fn hears(&self, context: &CallContext, news: &News) -> Option<String> {
        if news.organization != context.principal.organization {
            return None;
        }
        let snapshot = self.snapshot(news.organization)?;
        let known = snapshot.connections.get(&news.connection)?;
        let surface = Surface::of(&snapshot, context);
        let hears = surface.may_include(known) && surface.on(known, context).closed().is_none();
        hears.then(|| known.connection.name_prefix())
    }

    /// An upstream's URI as this endpoint shows it.
    pub fn direct_uri(&self, context: &CallContext, prefix: &str, uri: &str) -> String {
        if is_renamed(context) { uri_on_toolkit(prefix, uri) } else { uri.to_owned() }
    }

    /// The session that lists are read on: with the caller's credential, shared with their calls.
    pub(crate) async fn listing_session(
        &self,
        context: &CallContext,
        known: &Known,
    ) -> Result<Arc<UpstreamSession>, UpstreamError> {
        let connection = &*known.connection;
        let owner = match (connection.credential_mode, context.principal.caller) {
            (CredentialMode::Shared, _) => CredentialOwner::Shared,
            (CredentialMode::PerMember, Caller::Member(member)) => CredentialOwner::Member(member),
            (CredentialMode::PerMember, Caller::ServiceAccount(_)) => {
                return Err(UpstreamError::NotAllowed("it needs an account of each member".into()));
            }
        };
        let permit = maintenance::listing(connection.organization, connection.id);
        let info = known.credential(owner);
        let auth = self.unlock_for_maintenance(&permit, &known.connection, info).await.map_err(|error| {
            UpstreamError::NotAllowed(format!("there is no credential to ask it with: {error}"))
        })?;
        let opening = self.upstreams().session(Proof::Background(&permit), connection, owner, auth);
        let limit = self.upstreams().limits.open;
        tokio::time::timeout(limit, opening)
            .await
            .map_err(|_| UpstreamError::Timeout { after: limit, limit: "upstream.open_timeout" })?
    }

    /// All pages, without our credential, each with what its pin says.
    async fn listed_live(
        &self,
        context: &CallContext,
        known: &Known,
        listing: Listing,
    ) -> Result<Vec<LiveItem>, UpstreamError> {
        let session = self.listing_session(context, known).await?;
        if !listing.is_offered(session.greeting().offers) {
            return Ok(Vec::new());
        }
        let limits = &self.upstreams().limits;
        let mut items = Vec::new();
        let mut members = String::new();
        for _ in 0..limits.max_pages {
            let ask = Ask {
                method: listing.method(),
                members: &members,
                name: None,
                params: &[],
                deadline: limits.open,
                deadline_name: "upstream.open_timeout",
                max_bytes: limits.max_answer_bytes,
                side: None,
                identity: None,
            };
            let result = redact(session.request(&ask).await?, &session.auth.secrets);
            let unreadable = |error| {
                UpstreamError::Protocol(format!("its list of {} can't be read: {error}", listing.member()))
            };
            let page: RawObject<'_> = serde_json::from_slice(&result).map_err(unreadable)?;
            let list = page.get(listing.member()).map_or("[]", RawValue::get);
            for raw in serde_json::from_str::<Vec<&RawValue>>(list).map_err(unreadable)? {
                let name = RawObject::parse(raw).ok().and_then(|item| item.read::<String>(listing.key()));
                if let Some(name) = name.filter(|_| items.len() < limits.max_tools) {
                    let instructions = session.greeting().instructions.as_deref();
                    let capability = pinned(known, listing, &name, (raw, instructions));
                    items.push(LiveItem { name, item: raw.get().to_owned(), capability });
                }
            }
            match page.read::<Option<String>>("nextCursor").flatten() {
                Some(next) => members = format!("\"cursor\":{}", serde_json::Value::from(next)),
                None => break,
            }
        }
        // Something is not as the catalogue has it: look again, so that an admin sees it.
        let is_news = |item: &LiveItem| {
            let known = known.catalog.others(listing.kind()).get(item.name.as_str());
            item.capability.state == CapabilityState::Held
                && known.is_none_or(|known| known.state == CapabilityState::Approved)
        };
        if items.iter().any(is_news) {
            self.refresh_soon(known.connection.organization, known.connection.id);
        }
        Ok(items)
    }
}

/// The connections of an endpoint, in a stable order.
pub(crate) fn included<'s>(snapshot: &'s Snapshot, surface: &Surface<'_>) -> Vec<&'s Known> {
    let mut all: Vec<&Known> =
        snapshot.connections.values().filter(|known| surface.may_include(known)).collect();
    all.sort_by_key(|known| known.connection.name_prefix());
    all
}

pub(super) fn is_renamed(context: &CallContext) -> bool {
    matches!(context.resource, Resource::Toolkit(_) | Resource::PersonalToolkit(_))
}

/// An item of a list as its upstream sent it just now.
struct LiveItem {
    name: String,
    item: String,
    capability: Capability,
}

/// What the catalogue says of an item that was listed just now. Not in it, or not as approved: held.
fn pinned(
    known: &Known,
    listing: Listing,
    name: &str,
    (raw, instructions): (&RawValue, Option<&str>),
) -> Capability {
    let kind = listing.kind();
    if listing == Listing::Resources && !pins_resources(&known.connection) {
        return Capability::unlisted(kind);
    }
    let held = Capability { state: CapabilityState::Held, ..Capability::unlisted(kind) };
    let Some(found) = known.catalog.others(kind).get(name) else { return held };
    let limits = DefinitionLimits::default();
    match Definition::parse_as(kind, raw.get(), instructions, &limits) {
        Ok(now) if now.fingerprint() == found.fingerprint => found.clone(),
        _ => Capability { state: CapabilityState::Held, ..found.clone() },
    }
}

struct Item {
    slug: String,
    name: String,
    item: String,
}

fn render(listing: Listing, shown: Vec<Item>, renamed: bool) -> DirectItems {
    let pairs = shown.iter().map(|item| (item.slug.as_str(), item.name.as_str()));
    let prompts: HashMap<(&str, &str), String> = match (renamed, listing) {
        (true, Listing::Prompts) => direct_names(pairs).into_iter().map(|(new, old)| (old, new)).collect(),
        _ => HashMap::new(),
    };
    let mut items = vec![b'['];
    let mut names = HashMap::with_capacity(shown.len());
    for Item { slug, name, item } in &shown {
        let new_name = match (renamed, listing) {
            (false, _) => name.clone(),
            (true, Listing::Prompts) => match prompts.get(&(slug.as_str(), name.as_str())) {
                Some(new_name) => new_name.clone(),
                None => continue,
            },
            (true, _) => uri_on_toolkit(slug, name),
        };
        let quoted = serde_json::Value::from(new_name.as_str()).to_string();
        let (Ok(raw), Ok(quoted)) =
            (serde_json::from_str::<&RawValue>(item), serde_json::from_str::<&RawValue>(&quoted))
        else {
            continue;
        };
        let Ok(mut object) = RawObject::parse(raw) else { continue };
        object.set(listing.key(), quoted);
        if items.len() > 1 {
            items.push(b',');
        }
        object.write(&mut items);
        names.insert(new_name.into_boxed_str(), format!("{slug}.{name}").into_boxed_str());
    }
    items.push(b']');
    DirectItems { items: items.into(), names }
}
