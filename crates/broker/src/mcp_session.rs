//! Sessions of MCP's older generation: what a client said of itself when it began, bound to who, through which client
//! and at which endpoint. A token that was renewed for the same client goes on; anybody else's does not.

use std::time::Duration;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use switchboard_domain::{CallError, OrganizationId, Principal, Proof, Resource};
use switchboard_storage::{McpSessionRow, StorageError};

use crate::{Broker, CallContext, text};

/// A session that nobody took up for this long is forgotten.
pub(crate) const UNUSED: Duration = Duration::from_secs(24 * 3600);

/// What `initialize` agreed on.
#[derive(Debug)]
pub struct NewMcpSession {
    pub version: String,
    /// Which questions the client takes, as `ClientCapabilities`.
    pub questions: Option<Box<RawValue>>,
}

/// A session of one client.
#[derive(Debug, Clone)]
pub struct McpSession {
    organization: OrganizationId,
    hash: [u8; 32],
    caller: String,
    client: String,
    resource: String,
    /// Of the protocol, as agreed.
    pub version: String,
    pub questions: Option<Box<RawValue>>,
    pub log_level: Option<Box<str>>,
}

impl McpSession {
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Whether this principal, through this client, may use it at this endpoint.
    pub fn is_of(&self, principal: &Principal, resource: &Resource) -> bool {
        self.organization == principal.organization
            && self.caller == principal.caller.to_string()
            && self.client == client_of(principal)
            && self.resource == resource.path()
    }
}

/// What stays the same when a token is renewed: the client of a grant; a token made by hand is its own client.
fn client_of(principal: &Principal) -> String {
    match &principal.proof {
        Proof::Grant { client, .. } => client.to_string(),
        Proof::Token(token) => token.to_string(),
        Proof::Session(session) => session.to_string(),
        Proof::Inquiry => String::new(),
    }
}

fn of_row(row: McpSessionRow) -> McpSession {
    McpSession {
        organization: row.organization,
        hash: row.hash,
        caller: row.caller,
        client: row.client,
        resource: row.resource,
        version: row.version,
        questions: row.questions.and_then(|text| RawValue::from_string(text).ok()),
        log_level: row.log_level.map(String::into_boxed_str),
    }
}

fn hash_of(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

fn failed(error: &StorageError) -> CallError {
    tracing::error!(%error, "a session of a client can't be read or written");
    text::unavailable()
}

impl Broker {
    /// 256 random bits as text: a name that nobody guesses.
    pub fn new_handle(&self) -> String {
        let bytes: [u8; 32] = self.random().bytes();
        hex::encode(bytes)
    }

    /// Opens a session; its id goes to the client and nowhere else.
    pub async fn open_mcp_session(
        &self,
        context: &CallContext,
        new: NewMcpSession,
    ) -> Result<(String, McpSession), CallError> {
        let id = self.new_handle();
        let row = McpSessionRow {
            organization: context.principal.organization,
            hash: hash_of(&id),
            caller: context.principal.caller.to_string(),
            client: client_of(&context.principal),
            resource: context.resource.path(),
            version: new.version,
            questions: new.questions.map(|questions| questions.get().to_owned()),
            log_level: None,
            created_at: self.clock().now(),
        };
        let written = async {
            let mut tx = self.db().write().await?;
            tx.mcp_sessions().insert(&row).await?;
            tx.commit().await
        };
        written.await.map_err(|error| failed(&error))?;
        Ok((id, of_row(row)))
    }

    /// The session with this id, whoever's it is.
    pub async fn mcp_session(
        &self,
        organization: OrganizationId,
        id: &str,
    ) -> Result<Option<McpSession>, CallError> {
        let hash = hash_of(id);
        let now = self.clock().now();
        let found = async {
            let found = self.db().single().await?.mcp_sessions().find(organization, &hash).await?;
            if found.is_some() {
                let mut tx = self.db().write().await?;
                tx.mcp_sessions().seen(organization, &hash, now).await?;
                tx.commit().await?;
            }
            Ok(found)
        };
        found.await.map(|row| row.map(of_row)).map_err(|error: StorageError| failed(&error))
    }

    pub async fn set_mcp_log_level(&self, session: &McpSession, level: &str) -> Result<(), CallError> {
        let written = async {
            let mut tx = self.db().write().await?;
            let now = self.clock().now();
            tx.mcp_sessions().set_log_level(session.organization, &session.hash, level, now).await?;
            tx.commit().await
        };
        written.await.map_err(|error| failed(&error))
    }

    pub async fn end_mcp_session(&self, session: &McpSession) -> Result<(), CallError> {
        let written = async {
            let mut tx = self.db().write().await?;
            tx.mcp_sessions().delete(session.organization, &session.hash).await?;
            tx.commit().await
        };
        written.await.map_err(|error| failed(&error))
    }

    /// Keeps with its session that the client wants to hear of a resource. `false` when it watches `most` already.
    pub async fn keep_watched(
        &self,
        session: &McpSession,
        uri: &str,
        most: usize,
    ) -> Result<bool, CallError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let written = async {
            let mut tx = self.db().write().await?;
            let kept = tx.mcp_sessions().watch(session.organization, &session.hash, uri, most).await?;
            tx.commit().await?;
            Ok::<_, StorageError>(kept)
        };
        written.await.map_err(|error| failed(&error))
    }

    pub async fn forget_watched(&self, session: &McpSession, uri: &str) -> Result<(), CallError> {
        let written = async {
            let mut tx = self.db().write().await?;
            tx.mcp_sessions().unwatch(session.organization, &session.hash, uri).await?;
            tx.commit().await
        };
        written.await.map_err(|error| failed(&error))
    }

    /// Resources that a session's client wants to hear of, as it named them.
    pub async fn watched_of(&self, session: &McpSession) -> Result<Vec<String>, CallError> {
        let found = async {
            self.db().single().await?.mcp_sessions().watched(session.organization, &session.hash).await
        };
        found.await.map_err(|error: StorageError| failed(&error))
    }
}
