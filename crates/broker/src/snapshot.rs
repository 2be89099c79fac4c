//! What a call needs to know of an organization, in memory: connections, grants, rules, toolkits, the catalogue and
//! its search index. Immutable; replaced as a whole when the organization's version in the database grows.
//!
//! Every process asks for the versions a few times a second and is told sooner by hints, so that a change (a
//! revoked token, a removed grant) is in force everywhere within a second. When the versions can't be read for
//! longer than that, nobody gets in.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use switchboard_catalog::Index;
use switchboard_domain::{
    AuthType, Connection, ConnectionId, ConnectionOwner, CredentialOwner, Grants, MemberId, OrganizationId,
    Principal, Resource, Rollout, Slug, Timestamp, ToolkitId,
};
use switchboard_policy::{ConnectionFacts, PolicySet, Rule, RuleAction, RuleList};
use switchboard_storage::{
    CredentialInfo, Db, Guardrail, Organization, PendingAuthorization, PolicyDocument, PolicyLayer,
    StorageError, Toolkit,
};
use tokio::time::Instant;

use crate::{
    connection_catalog::{ConnectionCatalog, index_connection},
    context::CallContext,
    credentials::of_accounts,
    manage::personal_connections_allowed,
    quota::Quotas,
};

/// How old what we know may be before calls are refused.
const MAX_AGE: Duration = Duration::from_secs(2);

/// A connection with everything around it.
#[derive(Debug, Clone)]
pub struct Known {
    pub connection: Arc<Connection>,
    pub grants: Arc<Grants>,
    pub catalog: Arc<ConnectionCatalog>,
    /// By owner: there may be one of each member.
    pub credentials: Arc<[CredentialInfo]>,
    /// Sign-ins at its provider that have not ended.
    pub signing_in: Vec<PendingAuthorization>,
}

impl Known {
    /// Whether somebody is at the provider for this account right now.
    pub(crate) fn is_signing_in(&self, owner: CredentialOwner, now: Timestamp) -> bool {
        self.signing_in.iter().any(|it| {
            let whose = if it.shared { CredentialOwner::Shared } else { CredentialOwner::Member(it.member) };
            whose == owner && it.expires_at > now
        })
    }

    pub(crate) fn facts(&self, context: &CallContext) -> ConnectionFacts<'_> {
        let granted = match context.principal.member() {
            Some(member) => self.grants.reach(member, &context.principal.teams),
            // A program is granted what everyone is.
            None => self.grants.everyone,
        };
        let connection = &*self.connection;
        ConnectionFacts {
            organization: connection.organization,
            id: connection.id,
            slug: &connection.slug,
            owner: connection.owner,
            credential_mode: connection.credential_mode,
            granted,
            enabled: connection.switches.enabled,
            staged: connection.switches.rollout == Rollout::Staged,
            availability: connection.switches.availability,
            allow_in_plan_mode: connection.switches.allow_in_plan_mode,
        }
    }

    pub(crate) fn credential(&self, owner: CredentialOwner) -> Option<&CredentialInfo> {
        let found = self.credentials.binary_search_by_key(&owner, |credential| credential.owner);
        found.ok().map(|place| &self.credentials[place])
    }
}

/// One organization at one version.
#[derive(Debug)]
pub struct Snapshot {
    pub organization: Organization,
    pub version: i64,
    pub connections: HashMap<ConnectionId, Known>,
    /// The organization's own connections by slug.
    by_slug: HashMap<Slug, ConnectionId>,
    personal: HashMap<(MemberId, Slug), ConnectionId>,
    /// By owner, nobody for the organization's, and slug.
    pub toolkits: HashMap<(Option<MemberId>, Slug), Toolkit>,
    organization_rules: Arc<RuleList>,
    toolkit_rules: HashMap<ToolkitId, Arc<RuleList>>,
    member_rules: HashMap<MemberId, Arc<RuleList>>,
    hold_destructive: bool,
    pub(crate) quotas: Quotas,
    pub(crate) guardrail: Option<Guardrail>,
    pub index: Arc<Index>,
}

impl Snapshot {
    pub fn by_slug(&self, slug: &Slug) -> Option<&Known> {
        self.by_slug.get(slug).and_then(|id| self.connections.get(id))
    }

    /// The connection that a name means for this caller; `~` names one of their own.
    pub fn named(&self, personal: bool, slug: &Slug, caller: Option<MemberId>) -> Option<&Known> {
        if !personal {
            return self.by_slug(slug);
        }
        self.personal.get(&(caller?, slug.clone())).and_then(|id| self.connections.get(id))
    }

    /// The toolkit that an endpoint is of; of the personal ones the caller's own.
    pub fn toolkit(&self, resource: &Resource, caller: &Principal) -> Option<&Toolkit> {
        let key = match resource {
            Resource::Toolkit(slug) => (None, slug.clone()),
            Resource::PersonalToolkit(slug) => (Some(caller.member()?), slug.clone()),
            Resource::Default | Resource::Connection(_) | Resource::Api => return None,
        };
        self.toolkits.get(&key)
    }

    /// The rules that apply to a request, loaded already: no query per request or per tool.
    pub(crate) fn policies(&self, context: &CallContext, toolkit: Option<&Toolkit>) -> PolicySet {
        self.rules_of(context, toolkit.map(|toolkit| toolkit.id), true)
    }

    /// The organization's with a toolkit's, and with the caller's own only where those are wanted.
    pub(crate) fn rules_of(&self, context: &CallContext, toolkit: Option<ToolkitId>, own: bool) -> PolicySet {
        let mut set = PolicySet::new(self.organization.id, Arc::clone(&self.organization_rules))
            .hold_destructive(self.hold_destructive);
        if let Some(rules) = toolkit.and_then(|toolkit| self.toolkit_rules.get(&toolkit)) {
            set = set.with_toolkit(Arc::clone(rules));
        }
        let member = context.principal.member().filter(|_| own);
        if let Some(rules) = member.and_then(|member| self.member_rules.get(&member)) {
            set = set.with_member(Arc::clone(rules));
        }
        set
    }
}

#[derive(Debug)]
struct Held {
    snapshot: Arc<Snapshot>,
}

/// Snapshots of all organizations.
#[derive(Debug)]
pub(crate) struct Snapshots {
    db: Db,
    held: RwLock<HashMap<OrganizationId, Held>>,
    by_slug: RwLock<HashMap<Slug, OrganizationId>>,
    /// When the versions were last known to be current.
    confirmed: Mutex<Instant>,
    loading: tokio::sync::Mutex<()>,
}

impl Snapshots {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            held: RwLock::default(),
            by_slug: RwLock::default(),
            confirmed: Mutex::new(Instant::now()),
            loading: tokio::sync::Mutex::default(),
        }
    }

    /// The current snapshot; `None` when the organization is unknown or what we know is too old to act on.
    pub(crate) fn get(&self, organization: OrganizationId) -> Option<Arc<Snapshot>> {
        if !self.is_fresh() {
            return None;
        }
        self.held.read().get(&organization).map(|held| Arc::clone(&held.snapshot))
    }

    pub(crate) fn organization_by_slug(&self, slug: &Slug) -> Option<OrganizationId> {
        self.by_slug.read().get(slug).copied()
    }

    pub(crate) fn organizations(&self) -> Vec<Arc<Snapshot>> {
        self.held.read().values().map(|held| Arc::clone(&held.snapshot)).collect()
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.confirmed.lock().elapsed() < MAX_AGE
    }

    /// Compares versions with the database and loads what changed. Returns the organizations that did.
    pub(crate) async fn refresh(&self) -> Result<Vec<OrganizationId>, StorageError> {
        let _loading = self.loading.lock().await;
        let asked = Instant::now();
        let versions = self.db.single().await?.organizations().versions().await?;
        let mut changed = Vec::new();
        for &(organization, version) in &versions {
            let known = self.held.read().get(&organization).map(|held| held.snapshot.version);
            if known.is_none_or(|known| known != version) {
                self.load(organization).await?;
                changed.push(organization);
            }
        }
        self.held.write().retain(|id, _| versions.iter().any(|(known, _)| known == id));
        *self.confirmed.lock() = asked;
        Ok(changed)
    }

    async fn load(&self, organization: OrganizationId) -> Result<(), StorageError> {
        let before = self.held.read().get(&organization).map(|held| Arc::clone(&held.snapshot));
        let mut tx = self.db.read().await?;
        let Some(found) = tx.organizations().find(organization).await? else { return Ok(()) };
        let cataloged = tx.connections().list_cataloged(organization).await?;
        let mut grants = tx.grants().all(organization).await?;
        let mut credentials: HashMap<ConnectionId, Vec<CredentialInfo>> = HashMap::new();
        for info in tx.credentials().list(organization).await? {
            credentials.entry(info.connection).or_default().push(info);
        }
        let (accounts, providers) =
            if cataloged.iter().any(|it| it.connection.auth_type == AuthType::UserOidc) {
                let providers = tx.identity_providers().list(organization).await?;
                (tx.identities().accounts(organization).await?, providers)
            } else {
                (Vec::new(), Vec::new())
            };
        let pending = tx.upstream_authorizations().pending(organization).await?;
        let toolkits = tx.toolkits().list(organization).await?;
        let policies = tx.policies().all(organization).await?;
        let guardrail = tx.guardrails().find(organization).await?;
        let index =
            before.as_ref().map_or_else(|| Arc::new(Index::new()), |before| Arc::clone(&before.index));
        let mut connections = HashMap::with_capacity(cataloged.len());
        for entry in cataloged {
            let mut connection = entry.connection;
            // Those that were made while they were allowed are switched off, not forgotten.
            let personal = connection.owner != ConnectionOwner::Organization;
            connection.switches.enabled &= !personal || personal_connections_allowed(&found.settings);
            let id = connection.id;
            let known = before.as_ref().and_then(|before| before.connections.get(&id));
            let catalog = match known {
                Some(known) if is_same_catalog(known, &connection, entry.catalog_version) => {
                    Arc::clone(&known.catalog)
                }
                _ => {
                    let rows = tx.capabilities().definitions(organization, id).await?;
                    Arc::new(index_connection(&index, &connection, entry.catalog_version, rows))
                }
            };
            let mut of_connection = match connection.auth_type {
                AuthType::UserOidc => of_accounts(&connection, &accounts, &providers),
                _ => credentials.remove(&id).unwrap_or_default(),
            };
            of_connection.sort_by_key(|info| info.owner);
            connections.insert(
                id,
                Known {
                    grants: Arc::new(grants.remove(&id).unwrap_or_default()),
                    signing_in: pending.iter().filter(|it| it.connection == id).copied().collect(),
                    credentials: of_connection.into(),
                    connection: Arc::new(connection),
                    catalog,
                },
            );
        }
        drop(tx);
        if let Some(before) = &before {
            for &id in before.connections.keys().filter(|id| !connections.contains_key(id)) {
                index.remove(id);
            }
        }
        let snapshot = Snapshot { guardrail, ..assemble(found, connections, toolkits, policies, index) };
        self.by_slug.write().insert(snapshot.organization.slug.clone(), organization);
        self.held.write().insert(organization, Held { snapshot: Arc::new(snapshot) });
        Ok(())
    }
}

fn is_same_catalog(known: &Known, connection: &Connection, version: i64) -> bool {
    known.catalog.version == version
        && known.connection.slug == connection.slug
        && known.connection.name == connection.name
        && known.connection.tools == connection.tools
}

fn assemble(
    organization: Organization,
    connections: HashMap<ConnectionId, Known>,
    toolkits: Vec<Toolkit>,
    policies: Vec<PolicyDocument>,
    index: Arc<Index>,
) -> Snapshot {
    let mut by_slug = HashMap::new();
    let mut personal = HashMap::new();
    for (&id, known) in &connections {
        let slug = known.connection.slug.clone();
        match known.connection.owner {
            ConnectionOwner::Organization => by_slug.insert(slug, id),
            ConnectionOwner::Member(member) => personal.insert((member, slug), id),
        };
    }
    let mut organization_rules = Arc::new(RuleList::new(Vec::new()));
    let mut toolkit_rules = HashMap::new();
    let mut member_rules = HashMap::new();
    for policy in policies {
        let rules = Arc::new(RuleList::new(read_rules(policy.rules)));
        match policy.layer {
            PolicyLayer::Organization => organization_rules = rules,
            PolicyLayer::Toolkit(id) => drop(toolkit_rules.insert(id, rules)),
            PolicyLayer::Member(id) => drop(member_rules.insert(id, rules)),
        }
    }
    let hold_destructive =
        organization.settings.get("hold_destructive").and_then(serde_json::Value::as_bool).unwrap_or(false);
    Snapshot {
        version: organization.version,
        quotas: Quotas::of(&organization.settings),
        guardrail: None,
        organization,
        connections,
        by_slug,
        personal,
        toolkits: toolkits
            .into_iter()
            .map(|toolkit| ((toolkit.owner, toolkit.slug.clone()), toolkit))
            .collect(),
        organization_rules,
        toolkit_rules,
        member_rules,
        hold_destructive,
        index,
    }
}

/// Rules that can't be read block everything: an error in a check denies.
fn read_rules(rules: serde_json::Value) -> Vec<Rule> {
    serde_json::from_value(rules).unwrap_or_else(|error| {
        tracing::error!(%error, "stored rules can't be read: everything they could concern is blocked");
        "*".parse().map(|all| vec![Rule::new(all, RuleAction::Block)]).unwrap_or_default()
    })
}
