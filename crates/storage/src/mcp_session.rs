//! Sessions of MCP's older generation: what a client said of itself when it began, for every process that serves it.

use switchboard_domain::{OrganizationId, Timestamp};

use crate::{
    StorageError, Tx,
    row::{digest, text},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpSessionRow {
    pub organization: OrganizationId,
    /// SHA-256 of the id that the client sends.
    pub hash: [u8; 32],
    /// Who opened it, through which client, at which endpoint: nobody else may use it.
    pub caller: String,
    pub client: String,
    pub resource: String,
    /// Revision of the protocol that was agreed on.
    pub version: String,
    /// What the client can be asked, as JSON.
    pub questions: Option<String>,
    pub log_level: Option<String>,
    pub created_at: Timestamp,
}

statements! {
    INSERT = "INSERT INTO mcp_session (organization_id, hash, caller, client, resource, version, questions, log_level, created_at, last_seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    FIND = "SELECT hash, caller, client, resource, version, questions, log_level, created_at FROM mcp_session WHERE organization_id = $1 AND hash = $2";
    SEEN = "UPDATE mcp_session SET last_seen_at = $3 WHERE organization_id = $1 AND hash = $2";
    SET_LOG_LEVEL = "UPDATE mcp_session SET log_level = $3, last_seen_at = $4 WHERE organization_id = $1 AND hash = $2";
    DELETE = "DELETE FROM mcp_session WHERE organization_id = $1 AND hash = $2";
    FORGET = "DELETE FROM mcp_session WHERE organization_id = $1 AND last_seen_at < $2";
    WATCH = "INSERT INTO mcp_watched (organization_id, session_hash, uri) SELECT $1, $2, $3 WHERE (SELECT count(*) FROM mcp_watched WHERE organization_id = $1 AND session_hash = $2 AND uri <> $3) < $4 ON CONFLICT (organization_id, session_hash, uri) DO UPDATE SET uri = excluded.uri";
    UNWATCH = "DELETE FROM mcp_watched WHERE organization_id = $1 AND session_hash = $2 AND uri = $3";
    WATCHED = "SELECT uri FROM mcp_watched WHERE organization_id = $1 AND session_hash = $2 ORDER BY uri";
    /// Of sessions that are no more.
    FORGET_WATCHED = "DELETE FROM mcp_watched WHERE organization_id = $1 AND session_hash NOT IN (SELECT hash FROM mcp_session WHERE organization_id = $1)";
}

type Row = (Vec<u8>, String, String, String, String, Option<String>, Option<String>, i64);

impl Tx {
    pub fn mcp_sessions(&mut self) -> McpSessions<'_> {
        McpSessions { tx: self }
    }
}

/// See [`Tx::mcp_sessions`].
#[derive(Debug)]
pub struct McpSessions<'t> {
    tx: &'t mut Tx,
}

impl McpSessions<'_> {
    pub async fn insert(self, session: &McpSessionRow) -> Result<(), StorageError> {
        let McpSessionRow { organization, hash, caller, client, resource, version, questions, .. } = session;
        execute!(
            self.tx,
            INSERT,
            organization.as_uuid(),
            &hash[..],
            caller,
            client,
            resource,
            version,
            questions.as_deref(),
            session.log_level.as_deref(),
            session.created_at.as_micros()
        )?;
        Ok(())
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        hash: &[u8; 32],
    ) -> Result<Option<McpSessionRow>, StorageError> {
        let row = fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), &hash[..])?;
        let Some((hash, caller, client, resource, version, questions, log_level, created_at)) = row else {
            return Ok(None);
        };
        Ok(Some(McpSessionRow {
            organization,
            hash: digest(&hash, "hash of an MCP session")?,
            caller,
            client,
            resource,
            version,
            questions,
            log_level,
            created_at: Timestamp::from_micros(created_at),
        }))
    }

    /// It was used: it is kept longer.
    pub async fn seen(
        self,
        organization: OrganizationId,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        execute!(self.tx, SEEN, organization.as_uuid(), &hash[..], now.as_micros())?;
        Ok(())
    }

    pub async fn set_log_level(
        self,
        organization: OrganizationId,
        hash: &[u8; 32],
        level: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        execute!(self.tx, SET_LOG_LEVEL, organization.as_uuid(), &hash[..], level, now.as_micros())?;
        Ok(())
    }

    /// Whether there was one.
    pub async fn delete(self, organization: OrganizationId, hash: &[u8; 32]) -> Result<bool, StorageError> {
        let was_there = execute!(self.tx, DELETE, organization.as_uuid(), &hash[..])? == 1;
        execute!(self.tx, FORGET_WATCHED, organization.as_uuid())?;
        Ok(was_there)
    }

    /// Resources whose changes the client is told of.
    pub async fn watched(
        self,
        organization: OrganizationId,
        hash: &[u8; 32],
    ) -> Result<Vec<String>, StorageError> {
        let rows = fetch_all!(self.tx, WATCHED => (String,), organization.as_uuid(), &hash[..])?;
        Ok(rows.into_iter().map(|(uri,)| uri).collect())
    }

    /// Adds one. `false` when the session has `most` others.
    pub async fn watch(
        self,
        organization: OrganizationId,
        hash: &[u8; 32],
        uri: &str,
        most: i64,
    ) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, WATCH, organization.as_uuid(), &hash[..], text(uri), most)? == 1)
    }

    pub async fn unwatch(
        self,
        organization: OrganizationId,
        hash: &[u8; 32],
        uri: &str,
    ) -> Result<(), StorageError> {
        execute!(self.tx, UNWATCH, organization.as_uuid(), &hash[..], text(uri))?;
        Ok(())
    }

    /// Those that nobody used since `unused`.
    pub async fn forget(self, organization: OrganizationId, unused: Timestamp) -> Result<u64, StorageError> {
        let forgotten = execute!(self.tx, FORGET, organization.as_uuid(), unused.as_micros())?;
        execute!(self.tx, FORGET_WATCHED, organization.as_uuid())?;
        Ok(forgotten)
    }
}
