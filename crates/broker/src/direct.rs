//! Direct surfaces: tools one to one. A connection's own endpoint keeps the upstream's names; a toolkit names them
//! `<slug>__<tool>`.
//!
//! The list is made from the catalogue, in the order of the upstream's own, connection by connection, and kept as bytes for as long as nothing changed, per caller: what is shown
//! is decided by the same function that decides calls.

mod addresses;
mod others;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_catalog::direct_names;
use switchboard_domain::{CallError, Caller, CapabilityKind, OrganizationId, Resource, Scopes, ToolkitId};
use switchboard_mcp::{ParamHeader, RawObject};
use switchboard_policy::Listed;
use switchboard_storage::ToolkitSurface;

use crate::{
    Broker, CallContext, Executed, Narrowing,
    intent::{Meant, take_intent, with_intent},
    snapshot::Snapshot,
    surface::Surface,
    text,
};

pub use others::{DirectItems, Listing};
pub(crate) use others::{KeptItems, kept_items};

/// What an endpoint offers to this caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// The two tools.
    Search,
    /// Its tools one to one.
    Direct,
    /// There is no such endpoint for this caller.
    Nothing,
}

/// Tools of a direct surface, as one caller sees them.
#[derive(Debug)]
pub struct DirectTools {
    /// The JSON array of definitions.
    pub tools: Bytes,
    /// What each name stands for.
    pub names: HashMap<Box<str>, Box<str>>,
}

/// Everything that what is shown depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ViewKey {
    organization: OrganizationId,
    version: i64,
    resource: Resource,
    caller: Caller,
    scopes: Vec<switchboard_domain::Scope>,
    plan: bool,
    selection: Option<Vec<String>>,
    toolkits: Option<Arc<[ToolkitId]>>,
}

impl ViewKey {
    fn of(snapshot: &Snapshot, context: &CallContext) -> Self {
        let Narrowing { plan, selection } = context.narrowing.clone();
        let scopes: Scopes = context.principal.scopes;
        Self {
            organization: snapshot.organization.id,
            version: snapshot.version,
            resource: context.resource.clone(),
            caller: context.principal.caller,
            scopes: scopes.iter().collect(),
            plan,
            selection,
            toolkits: context.principal.toolkits.clone(),
        }
    }
}

/// Lists kept, weighed by their size.
pub(crate) type DirectLists = moka::sync::Cache<ViewKey, Arc<DirectTools>>;

/// Most bytes of kept lists.
const KEPT_BYTES: u64 = 32 * 1024 * 1024;

pub(crate) fn kept_lists() -> DirectLists {
    moka::sync::Cache::builder()
        .max_capacity(KEPT_BYTES)
        .weigher(|_, list: &Arc<DirectTools>| u32::try_from(list.tools.len() + 256).unwrap_or(u32::MAX))
        .build()
}

impl Broker {
    /// What this endpoint offers.
    pub fn offer(&self, context: &CallContext) -> Result<Offer, CallError> {
        if context.resource == Resource::Default {
            return Ok(Offer::Search);
        }
        let snapshot = self.snapshot(context.principal.organization).ok_or_else(text::unavailable)?;
        let surface = Surface::of(&snapshot, context);
        let direct = match &context.resource {
            Resource::Connection(slug) => match snapshot.by_slug(slug) {
                Some(known) if crate::pipeline::is_visible(context, &surface, known) => {
                    known.connection.switches.expose_directly
                }
                _ => return Ok(Offer::Nothing),
            },
            resource @ (Resource::Toolkit(_) | Resource::PersonalToolkit(_)) => {
                match snapshot.toolkit(resource, &context.principal) {
                    Some(toolkit) if surface.exists() => toolkit.surface == ToolkitSurface::Direct,
                    _ => return Ok(Offer::Nothing),
                }
            }
            Resource::Default | Resource::Api => return Ok(Offer::Nothing),
        };
        Ok(if direct { Offer::Direct } else { Offer::Search })
    }

    /// The tools of a direct surface.
    pub async fn direct_tools(&self, context: &CallContext) -> Result<Arc<DirectTools>, CallError> {
        self.may_list(context)?;
        let snapshot = self.snapshot(context.principal.organization).ok_or_else(text::unavailable)?;
        let key = ViewKey::of(&snapshot, context);
        if let Some(kept) = self.direct_lists().get(&key) {
            return Ok(kept);
        }
        let made = Arc::new(self.make_list(&snapshot, context).await.map_err(|error| {
            tracing::error!(%error, "a direct list can't be made");
            text::unavailable()
        })?);
        self.direct_lists().insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// Which arguments the caller's client has to mirror into headers for this capability.
    pub async fn mirrored_parameters(
        &self,
        context: &CallContext,
        capability: &str,
    ) -> Result<Vec<ParamHeader>, CallError> {
        let snapshot = self.snapshot(context.principal.organization).ok_or_else(text::unavailable)?;
        let Ok(name) = capability.parse::<switchboard_domain::CapabilityName>() else {
            return Ok(Vec::new());
        };
        let Some(known) = snapshot.named(name.personal, &name.slug, context.principal.member()) else {
            return Ok(Vec::new());
        };
        let Some(found) = known.catalog.capabilities.get(&name.name) else { return Ok(Vec::new()) };
        Ok(self.compiled(known, &name.name, found).await?.param_headers.clone())
    }

    /// A result with the URIs in it as this endpoint names them, so that its client can read them here.
    pub fn readdressed(&self, context: &CallContext, capability: &str, done: Executed) -> Executed {
        let slug = capability.split_once('.').map(|(slug, _)| slug).filter(|_| others::is_renamed(context));
        match slug.and_then(|slug| addresses::of_result(slug, &done.result)) {
            Some(result) => Executed { result, ..done },
            None => done,
        }
    }

    /// What a call of a direct tool means: on a connection with `model_intent`, the arguments without it.
    pub async fn meant(
        &self,
        context: &CallContext,
        capability: &str,
        sent: Option<&RawValue>,
    ) -> Result<Meant, CallError> {
        let snapshot = self.snapshot(context.principal.organization).ok_or_else(text::unavailable)?;
        let name = capability.parse::<switchboard_domain::CapabilityName>().ok();
        let known =
            name.as_ref().and_then(|it| snapshot.named(it.personal, &it.slug, context.principal.member()));
        let (Some(name), Some(known)) = (&name, known) else { return Ok(Meant::default()) };
        if !known.connection.switches.model_intent {
            return Ok(Meant::default());
        }
        let Some(found) = known.catalog.capabilities.get(&name.name) else { return Ok(Meant::default()) };
        let tool = self.compiled(known, &name.name, found).await?;
        Ok(take_intent(sent, &tool.input_schema))
    }

    async fn make_list(
        &self,
        snapshot: &Snapshot,
        context: &CallContext,
    ) -> Result<DirectTools, switchboard_storage::StorageError> {
        let surface = Surface::of(snapshot, context);
        let mut shown = Vec::new();
        for known in others::included(snapshot, &surface) {
            let on = surface.on(known, context);
            if on.closed().is_some() {
                continue;
            }
            let mut tx = self.db().single().await?;
            let connection = &*known.connection;
            let mut rows = tx.capabilities().definitions(connection.organization, connection.id).await?;
            rows.sort_by_key(|(_, _, row)| row.ordinal);
            for (kind, name, row) in rows {
                let Some(capability) = known.catalog.capabilities.get(name.as_str()) else { continue };
                let is_shown = matches!(on.list(&name, capability), Listed::Shown(_));
                if let (true, CapabilityKind::Tool, Some(definition)) = (is_shown, kind, row.approved) {
                    let asks_why = connection.switches.model_intent;
                    shown.push(ShownTool { slug: connection.name_prefix(), name, definition, asks_why });
                }
            }
        }
        Ok(render(shown, others::is_renamed(context)))
    }
}

struct ShownTool {
    slug: String,
    name: String,
    definition: String,
    /// Whether its connection has `model_intent`.
    asks_why: bool,
}

fn render(shown: Vec<ShownTool>, is_renamed: bool) -> DirectTools {
    let pairs = shown.iter().map(|tool| (tool.slug.as_str(), tool.name.as_str()));
    let renamed: HashMap<(&str, &str), String> = if is_renamed {
        direct_names(pairs).into_iter().map(|(new, old)| (old, new)).collect()
    } else {
        pairs.map(|(slug, name)| ((slug, name), name.to_owned())).collect()
    };
    let mut tools = vec![b'['];
    let mut names = HashMap::with_capacity(shown.len());
    for ShownTool { slug, name, definition, asks_why } in &shown {
        let Some(new_name) = renamed.get(&(slug.as_str(), name.as_str())) else { continue };
        let quoted = serde_json::Value::from(new_name.as_str()).to_string();
        let (Ok(raw), Ok(quoted)) =
            (serde_json::from_str::<&RawValue>(definition), serde_json::from_str::<&RawValue>(&quoted))
        else {
            continue;
        };
        let Ok(mut object) = RawObject::parse(raw) else { continue };
        object.set("name", quoted);
        let meta = object.get("_meta").filter(|_| is_renamed).and_then(|meta| addresses::of_tool(slug, meta));
        if let Some(meta) = &meta {
            object.set("_meta", meta);
        }
        let schema = asks_why.then(|| with_intent(object.get("inputSchema"))).flatten();
        let schema = schema.and_then(|schema| RawValue::from_string(schema).ok());
        if let Some(schema) = &schema {
            object.set("inputSchema", schema);
        }
        if tools.len() > 1 {
            tools.push(b',');
        }
        object.write(&mut tools);
        names.insert(new_name.as_str().into(), format!("{slug}.{name}").into_boxed_str());
    }
    tools.push(b']');
    DirectTools { tools: tools.into(), names }
}
