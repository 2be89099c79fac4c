//! Connections: `domain::Connection` as rows. Edits compare and swap on the revision.

use sqlx::types::Json;
use switchboard_domain::{
    AuthConfig, AuthType, Availability, Connection, ConnectionId, ConnectionOwner, ConnectionStatus,
    CredentialMode, Diagnosis, MemberId, OrganizationId, ProtocolEra, Rollout, Slug, Status, Switches,
    Timestamp, ToolFilter, Transport,
};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{document, member, slug, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// What became of an insert.
#[derive(Debug, Clone)]
pub enum InsertConnection {
    Inserted,
    SlugTaken,
    /// Created before with the same external key: this one.
    ExternalKeyExists(Box<Connection>),
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateConnection {
    /// Done; the revision is now one more.
    Updated,
    /// Somebody edited it since, or it is gone.
    Stale,
    SlugTaken,
}

/// A connection with the number that says whether its capabilities changed since they were last read.
#[derive(Debug, Clone)]
pub struct CatalogedConnection {
    pub connection: Connection,
    pub catalog_version: i64,
}

/// Every column by name: a prepared `SELECT *` breaks when another replica's migration adds one.
macro_rules! columns {
    () => {
        "organization_id, id, owner_member_id, slug, name, url, transport, auth_type, auth, credential_mode, enabled, availability, allow_in_plan_mode, model_intent, expose_directly, send_identity, tools, external_key, status, status_reason, status_message, status_since, checked_at, diagnosis, era, instructions, catalog_version, created_at, updated_at, revision, rollout"
    };
}

statements! {
    INSERT = "INSERT INTO connection (organization_id, id, owner_member_id, slug, name, url, transport, auth_type, auth, credential_mode, enabled, availability, allow_in_plan_mode, model_intent, expose_directly, send_identity, tools, external_key, status, status_reason, status_message, status_since, checked_at, diagnosis, era, instructions, catalog_version, created_at, updated_at, revision, rollout) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, 0, $27, $28, $29, $30) ON CONFLICT DO NOTHING";
    FIND = (concat!("SELECT ", columns!(), " FROM connection WHERE organization_id = $1 AND id = $2"));
    FIND_BY_SLUG = (concat!("SELECT ", columns!(), " FROM connection WHERE organization_id = $1 AND slug = $2 AND owner_member_id IS NULL"));
    FIND_PERSONAL_BY_SLUG = (concat!("SELECT ", columns!(), " FROM connection WHERE organization_id = $1 AND slug = $2 AND owner_member_id = $3"));
    FIND_BY_EXTERNAL_KEY = (concat!("SELECT ", columns!(), " FROM connection WHERE organization_id = $1 AND external_key = $2 AND owner_member_id IS NULL"));
    FIND_PERSONAL_BY_EXTERNAL_KEY = (concat!("SELECT ", columns!(), " FROM connection WHERE organization_id = $1 AND external_key = $2 AND owner_member_id = $3"));
    LIST = (concat!("SELECT ", columns!(), " FROM connection WHERE organization_id = $1 ORDER BY slug, id"));
    SLUG_HOLDER = "SELECT id FROM connection WHERE organization_id = $1 AND slug = $2 AND owner_member_id IS NULL";
    UPDATE = "UPDATE connection SET slug = $3, name = $4, url = $5, transport = $6, auth_type = $7, auth = $8, credential_mode = $9, enabled = $10, availability = $11, allow_in_plan_mode = $12, model_intent = $13, expose_directly = $14, send_identity = $15, tools = $16, external_key = $17, updated_at = $18, rollout = $20, revision = revision + 1 WHERE organization_id = $1 AND id = $2 AND revision = $19";
    /// All of them at once: publishing, and taking back.
    MOVE_ROLLOUT = "UPDATE connection SET rollout = $3, updated_at = $4, revision = revision + 1 WHERE organization_id = $1 AND rollout = $2";
    STATUS_WORD = { sqlite: "SELECT status FROM connection WHERE organization_id = $1 AND id = $2", postgres: "SELECT status FROM connection WHERE organization_id = $1 AND id = $2 FOR UPDATE" };
    SET_STATUS = "UPDATE connection SET status = $3, status_reason = $4, status_message = $5, status_since = $6, checked_at = $7, diagnosis = $8 WHERE organization_id = $1 AND id = $2";
    /// Which lists beside the tools were read at least once.
    LISTED = "SELECT prompts_listed, resources_listed FROM connection WHERE organization_id = $1 AND id = $2";
    SET_LISTED = "UPDATE connection SET prompts_listed = $3, resources_listed = $4 WHERE organization_id = $1 AND id = $2";
    SET_TRANSPORT = "UPDATE connection SET transport = $3, era = NULL WHERE organization_id = $1 AND id = $2";
    SET_ERA = "UPDATE connection SET era = $3, instructions = $4 WHERE organization_id = $1 AND id = $2";
    DELETE = "DELETE FROM connection WHERE organization_id = $1 AND id = $2";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    owner_member_id: Option<Uuid>,
    slug: String,
    name: String,
    url: String,
    transport: String,
    auth_type: String,
    auth: Json<AuthConfig>,
    credential_mode: String,
    enabled: bool,
    availability: String,
    allow_in_plan_mode: bool,
    model_intent: bool,
    expose_directly: bool,
    send_identity: bool,
    rollout: String,
    tools: Json<ToolFilter>,
    external_key: Option<String>,
    status: String,
    status_reason: Option<String>,
    status_message: Option<String>,
    status_since: i64,
    checked_at: Option<i64>,
    diagnosis: Option<Json<Diagnosis>>,
    era: Option<String>,
    instructions: Option<String>,
    catalog_version: i64,
    created_at: i64,
    updated_at: i64,
    revision: i64,
}

impl TryFrom<Row> for CatalogedConnection {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let status = Status {
            status: word(&row.status, ConnectionStatus::from_word, "connection status")?,
            reason: row.status_reason,
            message: row.status_message,
            since: Timestamp::from_micros(row.status_since),
            checked_at: row.checked_at.map(Timestamp::from_micros),
            diagnosis: row.diagnosis.map(|diagnosis| diagnosis.0),
        };
        let switches = Switches {
            enabled: row.enabled,
            availability: word(&row.availability, Availability::from_word, "connection availability")?,
            allow_in_plan_mode: row.allow_in_plan_mode,
            model_intent: row.model_intent,
            expose_directly: row.expose_directly,
            send_identity: row.send_identity,
            rollout: word(&row.rollout, Rollout::from_word, "rollout")?,
        };
        let era = row.era.as_deref().map(|era| word(era, ProtocolEra::from_word, "connection era"));
        let connection = Connection {
            id: ConnectionId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            owner: member(row.owner_member_id).map_or(ConnectionOwner::Organization, ConnectionOwner::Member),
            slug: slug(&row.slug, "connection slug")?,
            name: row.name,
            url: row.url,
            transport: word(&row.transport, Transport::from_word, "connection transport")?,
            auth_type: word(&row.auth_type, AuthType::from_word, "connection auth type")?,
            auth: row.auth.0,
            credential_mode: word(&row.credential_mode, CredentialMode::from_word, "credential mode")?,
            switches,
            tools: row.tools.0,
            external_key: row.external_key,
            status,
            era: era.transpose()?,
            instructions: row.instructions,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            revision: row.revision,
        };
        Ok(Self { connection, catalog_version: row.catalog_version })
    }
}

fn one(row: Option<Row>) -> Result<Option<Connection>, StorageError> {
    row.map(|row| CatalogedConnection::try_from(row).map(|found| found.connection)).transpose()
}

fn owner_id(owner: ConnectionOwner) -> Option<Uuid> {
    match owner {
        ConnectionOwner::Organization => None,
        ConnectionOwner::Member(member) => Some(member.as_uuid()),
    }
}

impl Tx {
    pub fn connections(&mut self) -> Connections<'_> {
        Connections { tx: self }
    }
}

/// See [`Tx::connections`].
#[derive(Debug)]
pub struct Connections<'t> {
    tx: &'t mut Tx,
}

impl Connections<'_> {
    /// Moves every connection of one stage to another; how many that were.
    pub async fn move_rollout(
        self,
        organization: OrganizationId,
        from: Rollout,
        to: Rollout,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let (id, now) = (organization.as_uuid(), now.as_micros());
        let moved = execute!(self.tx, MOVE_ROLLOUT, id, from.as_str(), to.as_str(), now)?;
        if moved > 0 {
            self.tx.raise_version(organization).await?;
        }
        Ok(moved)
    }

    pub async fn insert(self, connection: &Connection) -> Result<InsertConnection, StorageError> {
        let (status, switches) = (&connection.status, &connection.switches);
        let auth = document(&connection.auth, "connection auth")?;
        let tools = document(&connection.tools, "connection tools")?;
        let diagnosis = status.diagnosis.as_ref().map(|it| document(it, "diagnosis")).transpose()?;
        let inserted = execute!(
            self.tx,
            INSERT,
            connection.organization.as_uuid(),
            connection.id.as_uuid(),
            owner_id(connection.owner),
            connection.slug.as_str(),
            text(&connection.name),
            text(&connection.url),
            connection.transport.as_str(),
            connection.auth_type.as_str(),
            &auth,
            connection.credential_mode.as_str(),
            switches.enabled,
            switches.availability.as_str(),
            switches.allow_in_plan_mode,
            switches.model_intent,
            switches.expose_directly,
            switches.send_identity,
            &tools,
            connection.external_key.as_deref().map(text),
            status.status.as_str(),
            status.reason.as_deref().map(text),
            status.message.as_deref().map(text),
            status.since.as_micros(),
            status.checked_at.map(Timestamp::as_micros),
            &diagnosis,
            connection.era.map(ProtocolEra::as_str),
            connection.instructions.as_deref().map(text),
            connection.created_at.as_micros(),
            connection.updated_at.as_micros(),
            connection.revision,
            switches.rollout.as_str(),
        )?;
        if inserted == 1 {
            self.tx.raise_version(connection.organization).await?;
            return Ok(InsertConnection::Inserted);
        }
        let existing = match &connection.external_key {
            Some(key) => {
                let connections = self.tx.connections();
                connections.find_by_external_key(connection.organization, connection.owner, key).await?
            }
            None => None,
        };
        Ok(existing.map_or(InsertConnection::SlugTaken, |first| {
            InsertConnection::ExternalKeyExists(Box::new(first))
        }))
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: ConnectionId,
    ) -> Result<Option<Connection>, StorageError> {
        one(fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?)
    }

    /// The organization's connection of this slug; never a personal one.
    pub async fn find_by_slug(
        self,
        organization: OrganizationId,
        slug: &Slug,
    ) -> Result<Option<Connection>, StorageError> {
        one(fetch_optional!(self.tx, FIND_BY_SLUG => Row, organization.as_uuid(), slug.as_str())?)
    }

    pub async fn find_personal_by_slug(
        self,
        organization: OrganizationId,
        owner: MemberId,
        slug: &Slug,
    ) -> Result<Option<Connection>, StorageError> {
        let (org, owner) = (organization.as_uuid(), owner.as_uuid());
        one(fetch_optional!(self.tx, FIND_PERSONAL_BY_SLUG => Row, org, slug.as_str(), owner)?)
    }

    /// Keys are its owner's own: nobody meets another's by trying.
    pub async fn find_by_external_key(
        self,
        organization: OrganizationId,
        owner: ConnectionOwner,
        key: &str,
    ) -> Result<Option<Connection>, StorageError> {
        let org = organization.as_uuid();
        one(match owner {
            ConnectionOwner::Organization => {
                fetch_optional!(self.tx, FIND_BY_EXTERNAL_KEY => Row, org, text(key))
            }
            ConnectionOwner::Member(member) => {
                let member = member.as_uuid();
                fetch_optional!(self.tx, FIND_PERSONAL_BY_EXTERNAL_KEY => Row, org, text(key), member)
            }
        }?)
    }

    /// Every connection, personal ones too, by slug.
    pub async fn list(self, organization: OrganizationId) -> Result<Vec<Connection>, StorageError> {
        Ok(self.list_cataloged(organization).await?.into_iter().map(|found| found.connection).collect())
    }

    /// Every connection with its catalogue's version.
    pub async fn list_cataloged(
        self,
        organization: OrganizationId,
    ) -> Result<Vec<CatalogedConnection>, StorageError> {
        fetch_all!(self.tx, LIST => Row, organization.as_uuid())?.into_iter().map(Row::try_into).collect()
    }

    /// Writes what people edit (not status, era and instructions) if the revision is still `connection.revision`.
    pub async fn update(self, connection: &Connection) -> Result<UpdateConnection, StorageError> {
        let (org, id) = (connection.organization.as_uuid(), connection.id.as_uuid());
        if connection.owner == ConnectionOwner::Organization {
            // Asked beforehand: a violated index would end the transaction on PostgreSQL.
            let holder = fetch_optional!(self.tx, SLUG_HOLDER => (Uuid,), org, connection.slug.as_str())?;
            if holder.is_some_and(|(holder,)| holder != id) {
                return Ok(UpdateConnection::SlugTaken);
            }
        }
        let switches = &connection.switches;
        let auth = document(&connection.auth, "connection auth")?;
        let tools = document(&connection.tools, "connection tools")?;
        let updated = execute!(
            self.tx,
            UPDATE,
            org,
            id,
            connection.slug.as_str(),
            text(&connection.name),
            text(&connection.url),
            connection.transport.as_str(),
            connection.auth_type.as_str(),
            &auth,
            connection.credential_mode.as_str(),
            switches.enabled,
            switches.availability.as_str(),
            switches.allow_in_plan_mode,
            switches.model_intent,
            switches.expose_directly,
            switches.send_identity,
            &tools,
            connection.external_key.as_deref().map(text),
            connection.updated_at.as_micros(),
            connection.revision,
            switches.rollout.as_str(),
        );
        match updated {
            Ok(0) => Ok(UpdateConnection::Stale),
            Ok(_) => {
                self.tx.raise_version(connection.organization).await?;
                Ok(UpdateConnection::Updated)
            }
            // Two edits at once: the transaction is over, and the caller gives it up.
            Err(StorageError::Duplicate) => Ok(UpdateConnection::SlugTaken),
            Err(error) => Err(error),
        }
    }

    /// Writes a status; callers are told (the version is raised) only when the word changed.
    pub async fn set_status(
        self,
        organization: OrganizationId,
        id: ConnectionId,
        status: &Status,
    ) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        let Some((before,)) = fetch_optional!(self.tx, STATUS_WORD => (String,), org, id)? else {
            return Ok(false);
        };
        let diagnosis = status.diagnosis.as_ref().map(|it| document(it, "diagnosis")).transpose()?;
        execute!(
            self.tx,
            SET_STATUS,
            org,
            id,
            status.status.as_str(),
            status.reason.as_deref().map(text),
            status.message.as_deref().map(text),
            status.since.as_micros(),
            status.checked_at.map(Timestamp::as_micros),
            &diagnosis,
        )?;
        if before != status.status.as_str() {
            self.tx.raise_version(organization).await?;
        }
        Ok(true)
    }

    /// Remembers what the last successful contact found.
    pub async fn set_era(
        self,
        organization: OrganizationId,
        id: ConnectionId,
        era: ProtocolEra,
        instructions: Option<&str>,
    ) -> Result<bool, StorageError> {
        let (org, id) = (organization.as_uuid(), id.as_uuid());
        Ok(execute!(self.tx, SET_ERA, org, id, era.as_str(), instructions.map(text))? == 1)
    }

    /// How it is reached from now on; in which generation has to be found out.
    pub async fn set_transport(
        self,
        organization: OrganizationId,
        id: ConnectionId,
        transport: Transport,
    ) -> Result<(), StorageError> {
        execute!(self.tx, SET_TRANSPORT, organization.as_uuid(), id.as_uuid(), transport.as_str())?;
        self.tx.raise_version(organization).await
    }

    /// Whether its prompts, and its resources, were ever listed.
    pub async fn listed(
        self,
        organization: OrganizationId,
        id: ConnectionId,
    ) -> Result<(bool, bool), StorageError> {
        let found = fetch_optional!(self.tx, LISTED => (bool, bool), organization.as_uuid(), id.as_uuid())?;
        Ok(found.unwrap_or_default())
    }

    pub async fn set_listed(
        self,
        organization: OrganizationId,
        id: ConnectionId,
        (prompts, resources): (bool, bool),
    ) -> Result<(), StorageError> {
        execute!(self.tx, SET_LISTED, organization.as_uuid(), id.as_uuid(), prompts, resources)?;
        Ok(())
    }

    /// Removes the connection with its grants, credentials and capabilities.
    pub async fn delete(self, organization: OrganizationId, id: ConnectionId) -> Result<bool, StorageError> {
        let deleted = execute!(self.tx, DELETE, organization.as_uuid(), id.as_uuid())? == 1;
        if deleted {
            self.tx.raise_version(organization).await?;
        }
        Ok(deleted)
    }
}
