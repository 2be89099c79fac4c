//! Capabilities: what upstreams list, as they sent it, beside what was approved. Search indexes and snapshots
//! are built from light rows, which leave the definitions out.

use std::collections::HashMap;

use serde::Serialize;
use switchboard_domain::{
    CapabilityKind, CapabilityState, ConnectionId, Fingerprint, OrganizationId, Timestamp,
};
use uuid::Uuid;

use crate::{
    StorageError, Tx,
    row::{fingerprint, hex, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// A capability without its definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LightCapability {
    pub connection: ConnectionId,
    pub kind: CapabilityKind,
    pub name: String,
    pub state: CapabilityState,
    /// Of the definition as listed now.
    pub fingerprint: Fingerprint,
    /// Of the definition as approved.
    pub approved_fingerprint: Option<Fingerprint>,
    pub title: Option<String>,
    /// What the catalogue wants to know without the definition: a JSON text of its own making.
    pub summary: String,
    pub first_seen_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Both definitions, as raw JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub state: CapabilityState,
    pub fingerprint: Fingerprint,
    /// As listed now, byte for byte.
    pub listed: String,
    pub approved_fingerprint: Option<Fingerprint>,
    /// As approved, byte for byte.
    pub approved: Option<String>,
    /// Its place in the upstream's list; 0 when no listing said so yet.
    pub ordinal: i64,
}

/// A row to write, whole: what it says about pins was decided by the caller.
#[derive(Debug, Clone)]
pub struct CapabilityRow {
    pub kind: CapabilityKind,
    pub name: String,
    pub state: CapabilityState,
    pub fingerprint: Fingerprint,
    pub approved_fingerprint: Option<Fingerprint>,
    pub title: Option<String>,
    pub summary: String,
    pub definition: String,
    pub approved_definition: Option<String>,
    /// Kept from the first time when the row exists.
    pub first_seen_at: Timestamp,
    pub updated_at: Timestamp,
}

statements! {
    LIGHT = "SELECT connection_id, kind, name, state, fingerprint, approved_fingerprint, first_seen_at, updated_at, title, summary FROM capability WHERE organization_id = $1 ORDER BY connection_id, kind, name";
    LIGHT_OF_CONNECTION = "SELECT connection_id, kind, name, state, fingerprint, approved_fingerprint, first_seen_at, updated_at, title, summary FROM capability WHERE organization_id = $1 AND connection_id = $2 ORDER BY kind, name";
    COUNTS = "SELECT connection_id, count(*) FROM capability WHERE organization_id = $1 AND state <> 'gone' GROUP BY connection_id";
    DEFINITION = "SELECT state, fingerprint, definition, approved_fingerprint, approved_definition, ordinal FROM capability WHERE organization_id = $1 AND connection_id = $2 AND kind = $3 AND name = $4";
    /// Definitions of a whole connection, for direct listings.
    DEFINITIONS = "SELECT kind, name, state, fingerprint, definition, approved_fingerprint, approved_definition, ordinal FROM capability WHERE organization_id = $1 AND connection_id = $2 AND state <> 'gone' ORDER BY kind, name";
    /// The same with what is gone: for comparing a listing with all that was ever listed.
    ALL_DEFINITIONS = "SELECT kind, name, state, fingerprint, definition, approved_fingerprint, approved_definition, ordinal FROM capability WHERE organization_id = $1 AND connection_id = $2 ORDER BY kind, name";
    UPSERT = {
        sqlite: "INSERT INTO capability (organization_id, connection_id, kind, name, state, fingerprint, approved_fingerprint, first_seen_at, updated_at, title, summary, definition, approved_definition) SELECT $1, $2, value ->> 'kind', value ->> 'name', value ->> 'state', unhex(value ->> 'fingerprint'), unhex(value ->> 'approved_fingerprint'), value ->> 'first_seen_at', value ->> 'updated_at', value ->> 'title', value ->> 'summary', value ->> 'definition', value ->> 'approved_definition' FROM json_each($3) WHERE true ON CONFLICT (organization_id, connection_id, kind, name) DO UPDATE SET state = excluded.state, fingerprint = excluded.fingerprint, approved_fingerprint = excluded.approved_fingerprint, updated_at = excluded.updated_at, title = excluded.title, summary = excluded.summary, definition = excluded.definition, approved_definition = excluded.approved_definition",
        postgres: "INSERT INTO capability (organization_id, connection_id, kind, name, state, fingerprint, approved_fingerprint, first_seen_at, updated_at, title, summary, definition, approved_definition) SELECT $1, $2, kind, name, state, decode(fingerprint, 'hex'), decode(approved_fingerprint, 'hex'), first_seen_at, updated_at, title, summary, definition, approved_definition FROM json_to_recordset($3::json) AS listed (kind text, name text, state text, fingerprint text, approved_fingerprint text, first_seen_at bigint, updated_at bigint, title text, summary text, definition text, approved_definition text) ON CONFLICT (organization_id, connection_id, kind, name) DO UPDATE SET state = excluded.state, fingerprint = excluded.fingerprint, approved_fingerprint = excluded.approved_fingerprint, updated_at = excluded.updated_at, title = excluded.title, summary = excluded.summary, definition = excluded.definition, approved_definition = excluded.approved_definition"
    };
    GONE = {
        sqlite: "UPDATE capability SET state = 'gone', updated_at = $4 WHERE organization_id = $1 AND connection_id = $2 AND (kind, name) IN (SELECT value ->> 'kind', value ->> 'name' FROM json_each($3))",
        postgres: "UPDATE capability SET state = 'gone', updated_at = $4 WHERE organization_id = $1 AND connection_id = $2 AND (kind, name) IN (SELECT kind, name FROM json_to_recordset($3::json) AS gone (kind text, name text))"
    };
    ORDER = {
        sqlite: "UPDATE capability SET ordinal = listed.value ->> 'ordinal' FROM json_each($3) AS listed WHERE organization_id = $1 AND connection_id = $2 AND kind = listed.value ->> 'kind' AND name = listed.value ->> 'name'",
        postgres: "UPDATE capability SET ordinal = listed.ordinal FROM json_to_recordset($3::json) AS listed (kind text, name text, ordinal bigint) WHERE organization_id = $1 AND connection_id = $2 AND capability.kind = listed.kind AND capability.name = listed.name"
    };
    RAISE_CATALOG_VERSION = "UPDATE connection SET catalog_version = catalog_version + 1 WHERE organization_id = $1 AND id = $2";
}

#[derive(sqlx::FromRow)]
struct LightRow {
    connection_id: Uuid,
    kind: String,
    name: String,
    state: String,
    fingerprint: Vec<u8>,
    approved_fingerprint: Option<Vec<u8>>,
    title: Option<String>,
    summary: String,
    first_seen_at: i64,
    updated_at: i64,
}

impl TryFrom<LightRow> for LightCapability {
    type Error = StorageError;

    fn try_from(row: LightRow) -> Result<Self, StorageError> {
        Ok(Self {
            connection: ConnectionId::from_uuid(row.connection_id),
            kind: word(&row.kind, CapabilityKind::from_word, "capability kind")?,
            name: row.name,
            state: word(&row.state, CapabilityState::from_word, "capability state")?,
            fingerprint: fingerprint(&row.fingerprint)?,
            approved_fingerprint: row.approved_fingerprint.as_deref().map(fingerprint).transpose()?,
            title: row.title,
            summary: row.summary,
            first_seen_at: Timestamp::from_micros(row.first_seen_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

#[derive(sqlx::FromRow)]
struct DefinitionRow {
    state: String,
    fingerprint: Vec<u8>,
    definition: String,
    approved_fingerprint: Option<Vec<u8>>,
    approved_definition: Option<String>,
    ordinal: i64,
}

impl TryFrom<DefinitionRow> for Definition {
    type Error = StorageError;

    fn try_from(row: DefinitionRow) -> Result<Self, StorageError> {
        Ok(Self {
            state: word(&row.state, CapabilityState::from_word, "capability state")?,
            fingerprint: fingerprint(&row.fingerprint)?,
            listed: row.definition,
            approved_fingerprint: row.approved_fingerprint.as_deref().map(fingerprint).transpose()?,
            approved: row.approved_definition,
            ordinal: row.ordinal,
        })
    }
}

#[derive(sqlx::FromRow)]
struct NamedDefinitionRow {
    kind: String,
    name: String,
    #[sqlx(flatten)]
    definition: DefinitionRow,
}

/// A row on its way in, as one element of the statement's JSON argument.
#[derive(Serialize)]
struct Listed<'a> {
    kind: &'static str,
    name: std::borrow::Cow<'a, str>,
    state: &'static str,
    fingerprint: String,
    approved_fingerprint: Option<String>,
    first_seen_at: i64,
    updated_at: i64,
    title: Option<std::borrow::Cow<'a, str>>,
    summary: &'a str,
    definition: &'a str,
    approved_definition: Option<&'a str>,
}

impl<'a> From<&'a CapabilityRow> for Listed<'a> {
    fn from(row: &'a CapabilityRow) -> Self {
        Self {
            kind: row.kind.as_str(),
            name: text(&row.name),
            state: row.state.as_str(),
            fingerprint: hex(&row.fingerprint.0),
            approved_fingerprint: row.approved_fingerprint.map(|it| hex(&it.0)),
            first_seen_at: row.first_seen_at.as_micros(),
            updated_at: row.updated_at.as_micros(),
            title: row.title.as_deref().map(text),
            summary: &row.summary,
            definition: &row.definition,
            approved_definition: row.approved_definition.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Gone<'a> {
    kind: &'static str,
    name: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
struct Placed<'a> {
    kind: &'static str,
    name: std::borrow::Cow<'a, str>,
    ordinal: usize,
}

/// Rows per statement: keeps one statement's argument to a few megabytes.
const BATCH: usize = 500;

fn json<T: Serialize>(rows: &[T]) -> Result<String, StorageError> {
    serde_json::to_string(rows).map_err(|_| StorageError::Unreadable("capability"))
}

/// Each definition with the kind and name of its capability.
fn named(rows: Vec<NamedDefinitionRow>) -> Result<Vec<(CapabilityKind, String, Definition)>, StorageError> {
    rows.into_iter()
        .map(|row| {
            let kind = word(&row.kind, CapabilityKind::from_word, "capability kind")?;
            Ok((kind, row.name, row.definition.try_into()?))
        })
        .collect()
}

impl Tx {
    pub fn capabilities(&mut self) -> Capabilities<'_> {
        Capabilities { tx: self }
    }
}

/// See [`Tx::capabilities`].
#[derive(Debug)]
pub struct Capabilities<'t> {
    tx: &'t mut Tx,
}

impl Capabilities<'_> {
    /// Every capability of an organization, by connection, kind and name.
    pub async fn light(self, organization: OrganizationId) -> Result<Vec<LightCapability>, StorageError> {
        fetch_all!(self.tx, LIGHT => LightRow, organization.as_uuid())?
            .into_iter()
            .map(LightRow::try_into)
            .collect()
    }

    pub async fn light_of_connection(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<Vec<LightCapability>, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        fetch_all!(self.tx, LIGHT_OF_CONNECTION => LightRow, org, connection)?
            .into_iter()
            .map(LightRow::try_into)
            .collect()
    }

    /// How many capabilities each connection has.
    pub async fn counts(
        self,
        organization: OrganizationId,
    ) -> Result<HashMap<ConnectionId, i64>, StorageError> {
        let rows = fetch_all!(self.tx, COUNTS => (Uuid, i64), organization.as_uuid())?;
        Ok(rows.into_iter().map(|(id, count)| (ConnectionId::from_uuid(id), count)).collect())
    }

    pub async fn definition(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        kind: CapabilityKind,
        name: &str,
    ) -> Result<Option<Definition>, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        fetch_optional!(self.tx, DEFINITION => DefinitionRow, org, connection, kind.as_str(), text(name))?
            .map(DefinitionRow::try_into)
            .transpose()
    }

    /// Every definition of one connection that the upstream still lists.
    pub async fn definitions(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<Vec<(CapabilityKind, String, Definition)>, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        named(fetch_all!(self.tx, DEFINITIONS => NamedDefinitionRow, org, connection)?)
    }

    /// The same with capabilities that are gone.
    pub async fn all_definitions(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Result<Vec<(CapabilityKind, String, Definition)>, StorageError> {
        let (org, connection) = (organization.as_uuid(), connection.as_uuid());
        named(fetch_all!(self.tx, ALL_DEFINITIONS => NamedDefinitionRow, org, connection)?)
    }

    /// Writes what a listing changed: rows that are new or different, and what is no longer listed.
    /// Decides nothing about pins.
    pub async fn apply_listing(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        changed: &[CapabilityRow],
        gone: &[(CapabilityKind, &str)],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let (org, id) = (organization.as_uuid(), connection.as_uuid());
        for batch in changed.chunks(BATCH) {
            let rows: Vec<Listed<'_>> = batch.iter().map(Listed::from).collect();
            execute!(self.tx, UPSERT, org, id, json(&rows)?)?;
        }
        for batch in gone.chunks(BATCH) {
            let rows: Vec<Gone<'_>> =
                batch.iter().map(|(kind, name)| Gone { kind: kind.as_str(), name: text(name) }).collect();
            execute!(self.tx, GONE, org, id, json(&rows)?, now.as_micros())?;
        }
        execute!(self.tx, RAISE_CATALOG_VERSION, org, id)?;
        self.tx.raise_version(organization).await
    }

    /// Writes the order of an upstream's list: these, from the first on.
    pub async fn set_order(
        self,
        organization: OrganizationId,
        connection: ConnectionId,
        listed: &[(CapabilityKind, &str)],
    ) -> Result<(), StorageError> {
        let (org, id) = (organization.as_uuid(), connection.as_uuid());
        let placed: Vec<Placed<'_>> = listed
            .iter()
            .zip(1..)
            .map(|((kind, name), ordinal)| Placed { kind: kind.as_str(), name: text(name), ordinal })
            .collect();
        for batch in placed.chunks(BATCH) {
            execute!(self.tx, ORDER, org, id, json(batch)?)?;
        }
        execute!(self.tx, RAISE_CATALOG_VERSION, org, id)?;
        self.tx.raise_version(organization).await
    }
}
