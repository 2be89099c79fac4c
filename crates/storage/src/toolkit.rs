//! Toolkits and policies: scoped endpoints, and the rules of an organization, a toolkit or a member.

use serde_json::Value;
use sqlx::types::Json;
use switchboard_domain::{MemberId, OrganizationId, Slug, TeamId, Timestamp, ToolkitId};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{document, member, slug, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// How a toolkit's endpoint shows its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolkitSurface {
    /// The two tools.
    Search,
    /// One to one.
    Direct,
}

impl ToolkitSurface {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Direct => "direct",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Search, Self::Direct].into_iter().find(|surface| surface.as_str() == word)
    }
}

/// A named, scoped endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolkit {
    pub id: ToolkitId,
    pub organization: OrganizationId,
    /// None: the organization's own.
    pub owner: Option<MemberId>,
    pub slug: Slug,
    pub name: String,
    pub surface: ToolkitSurface,
    /// As written; the policy crate reads them.
    pub patterns: Vec<String>,
    /// Both empty: whoever is granted the connections.
    pub members: Vec<MemberId>,
    pub teams: Vec<TeamId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub revision: i64,
}

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyLayer {
    Organization,
    Toolkit(ToolkitId),
    Member(MemberId),
}

/// One layer's ordered rules, as one JSON array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    pub layer: PolicyLayer,
    pub rules: Value,
    pub updated_at: Timestamp,
    pub revision: i64,
}

statements! {
    INSERT = "INSERT INTO toolkit (organization_id, id, owner_member_id, slug, name, surface, patterns, members, teams, created_at, updated_at, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
    FIND = "SELECT organization_id, id, owner_member_id, slug, name, surface, patterns, members, teams, created_at, updated_at, revision FROM toolkit WHERE organization_id = $1 AND id = $2";
    LIST = "SELECT organization_id, id, owner_member_id, slug, name, surface, patterns, members, teams, created_at, updated_at, revision FROM toolkit WHERE organization_id = $1 ORDER BY slug";
    UPDATE = "UPDATE toolkit SET name = $3, surface = $4, patterns = $5, members = $6, teams = $7, updated_at = $8, revision = revision + 1 WHERE organization_id = $1 AND id = $2 AND revision = $9";
    DELETE = "DELETE FROM toolkit WHERE organization_id = $1 AND id = $2";
    POLICIES = "SELECT layer, layer_id, rules, updated_at, revision FROM policy WHERE organization_id = $1 ORDER BY layer, layer_id";
    POLICY = "SELECT layer, layer_id, rules, updated_at, revision FROM policy WHERE organization_id = $1 AND layer = $2 AND layer_id = $3";
    INSERT_POLICY = "INSERT INTO policy (organization_id, layer, layer_id, rules, updated_at, revision) VALUES ($1, $2, $3, $4, $5, 1) ON CONFLICT DO NOTHING";
    UPDATE_POLICY = "UPDATE policy SET rules = $4, updated_at = $5, revision = revision + 1 WHERE organization_id = $1 AND layer = $2 AND layer_id = $3 AND revision = $6";
    DELETE_POLICY = "DELETE FROM policy WHERE organization_id = $1 AND layer = $2 AND layer_id = $3";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    owner_member_id: Option<Uuid>,
    slug: String,
    name: String,
    surface: String,
    patterns: Json<Vec<String>>,
    members: Json<Vec<MemberId>>,
    teams: Json<Vec<TeamId>>,
    created_at: i64,
    updated_at: i64,
    revision: i64,
}

#[derive(sqlx::FromRow)]
struct PolicyRow {
    layer: String,
    layer_id: Uuid,
    rules: Json<Value>,
    updated_at: i64,
    revision: i64,
}

impl TryFrom<Row> for Toolkit {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            id: ToolkitId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            owner: member(row.owner_member_id),
            slug: slug(&row.slug, "toolkit slug")?,
            name: row.name,
            surface: word(&row.surface, ToolkitSurface::from_word, "toolkit surface")?,
            patterns: row.patterns.0,
            members: row.members.0,
            teams: row.teams.0,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            revision: row.revision,
        })
    }
}

impl TryFrom<PolicyRow> for PolicyDocument {
    type Error = StorageError;

    fn try_from(row: PolicyRow) -> Result<Self, StorageError> {
        let layer = match &*row.layer {
            "organization" => PolicyLayer::Organization,
            "toolkit" => PolicyLayer::Toolkit(ToolkitId::from_uuid(row.layer_id)),
            "member" => PolicyLayer::Member(MemberId::from_uuid(row.layer_id)),
            _ => return Err(StorageError::Unreadable("policy layer")),
        };
        let updated_at = Timestamp::from_micros(row.updated_at);
        Ok(Self { layer, rules: row.rules.0, updated_at, revision: row.revision })
    }
}

/// A layer as its key columns; the organization's own rules carry its id.
fn layer_key(organization: OrganizationId, layer: PolicyLayer) -> (&'static str, Uuid) {
    match layer {
        PolicyLayer::Organization => ("organization", organization.as_uuid()),
        PolicyLayer::Toolkit(id) => ("toolkit", id.as_uuid()),
        PolicyLayer::Member(id) => ("member", id.as_uuid()),
    }
}

impl Tx {
    pub fn toolkits(&mut self) -> Toolkits<'_> {
        Toolkits { tx: self }
    }

    pub fn policies(&mut self) -> Policies<'_> {
        Policies { tx: self }
    }
}

/// See [`Tx::toolkits`].
#[derive(Debug)]
pub struct Toolkits<'t> {
    tx: &'t mut Tx,
}

impl Toolkits<'_> {
    /// `false` when the slug is taken.
    pub async fn insert(self, toolkit: &Toolkit) -> Result<bool, StorageError> {
        let patterns = document(&toolkit.patterns, "toolkit patterns")?;
        let members = document(&toolkit.members, "toolkit members")?;
        let teams = document(&toolkit.teams, "toolkit teams")?;
        let inserted = execute!(
            self.tx,
            INSERT,
            toolkit.organization.as_uuid(),
            toolkit.id.as_uuid(),
            toolkit.owner.map(MemberId::as_uuid),
            toolkit.slug.as_str(),
            text(&toolkit.name),
            toolkit.surface.as_str(),
            &patterns,
            &members,
            &teams,
            toolkit.created_at.as_micros(),
            toolkit.updated_at.as_micros(),
            toolkit.revision,
        )? == 1;
        if inserted {
            self.tx.raise_version(toolkit.organization).await?;
        }
        Ok(inserted)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: ToolkitId,
    ) -> Result<Option<Toolkit>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?
            .map(Row::try_into)
            .transpose()
    }

    pub async fn list(self, organization: OrganizationId) -> Result<Vec<Toolkit>, StorageError> {
        fetch_all!(self.tx, LIST => Row, organization.as_uuid())?.into_iter().map(Row::try_into).collect()
    }

    /// Writes everything but slug and owner if the revision is still `toolkit.revision`; whether it was.
    pub async fn update(self, toolkit: &Toolkit) -> Result<bool, StorageError> {
        let patterns = document(&toolkit.patterns, "toolkit patterns")?;
        let members = document(&toolkit.members, "toolkit members")?;
        let teams = document(&toolkit.teams, "toolkit teams")?;
        let updated = execute!(
            self.tx,
            UPDATE,
            toolkit.organization.as_uuid(),
            toolkit.id.as_uuid(),
            text(&toolkit.name),
            toolkit.surface.as_str(),
            &patterns,
            &members,
            &teams,
            toolkit.updated_at.as_micros(),
            toolkit.revision,
        )? == 1;
        if updated {
            self.tx.raise_version(toolkit.organization).await?;
        }
        Ok(updated)
    }

    /// Removes the toolkit and its rules.
    pub async fn delete(self, organization: OrganizationId, id: ToolkitId) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        execute!(self.tx, DELETE_POLICY, org, "toolkit", id)?;
        let deleted = execute!(self.tx, DELETE, org, id)? == 1;
        self.tx.raise_version(organization).await?;
        Ok(deleted)
    }
}

/// See [`Tx::policies`].
#[derive(Debug)]
pub struct Policies<'t> {
    tx: &'t mut Tx,
}

impl Policies<'_> {
    /// Every layer's rules.
    pub async fn all(self, organization: OrganizationId) -> Result<Vec<PolicyDocument>, StorageError> {
        fetch_all!(self.tx, POLICIES => PolicyRow, organization.as_uuid())?
            .into_iter()
            .map(PolicyRow::try_into)
            .collect()
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        layer: PolicyLayer,
    ) -> Result<Option<PolicyDocument>, StorageError> {
        let (layer, id) = layer_key(organization, layer);
        fetch_optional!(self.tx, POLICY => PolicyRow, organization.as_uuid(), layer, id)?
            .map(PolicyRow::try_into)
            .transpose()
    }

    /// Replaces a layer's whole array if its revision is still `seen` (0: there was none); whether it was.
    pub async fn put(
        self,
        organization: OrganizationId,
        layer: PolicyLayer,
        rules: &Value,
        seen: i64,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let (layer, id) = layer_key(organization, layer);
        let (org, now) = (organization.as_uuid(), now.as_micros());
        let rules = document(rules, "policy rules")?;
        let written = if seen == 0 {
            execute!(self.tx, INSERT_POLICY, org, layer, id, &rules, now)?
        } else {
            execute!(self.tx, UPDATE_POLICY, org, layer, id, &rules, now, seen)?
        } == 1;
        if written {
            self.tx.raise_version(organization).await?;
        }
        Ok(written)
    }
}
