//! Webhooks: addresses of an organization that are told what happens, and what they are still to be told.
//!
//! Single events wait as rows of `webhook_delivery`, written by the transaction they are about. The audit log is not
//! copied: of each chain a webhook has a place up to which it was told.

use serde_json::Value;
use sqlx::types::Json;
use switchboard_domain::{DataKeyId, EventId, OrganizationId, Timestamp, WebhookFormat, WebhookId, WriterId};
use switchboard_vault::Sealed;
use uuid::Uuid;

use crate::{
    SealedWith, StorageError, Tx,
    row::{document, text, word},
    statement::{execute, fetch_all, fetch_optional, statements},
};

/// A webhook as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub organization: OrganizationId,
    pub name: String,
    pub url: String,
    pub enabled: bool,
    /// Names of the events it is told.
    pub events: Value,
    pub format: WebhookFormat,
    /// What deliveries are signed with.
    pub secret: SealedWith,
    /// Failures of the stream of the audit log in a row.
    pub failures: i64,
    /// When the stream goes on.
    pub next_at: Timestamp,
    pub told_at: Option<Timestamp>,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
    pub revision: i64,
}

/// One event for one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub organization: OrganizationId,
    pub webhook: WebhookId,
    /// The event's own id: the same for all webhooks that are told of it, and in every try.
    pub id: EventId,
    pub body: String,
    pub attempts: i64,
    pub created_at: Timestamp,
}

macro_rules! columns {
    () => {
        "organization_id, id, name, url, enabled, events, data_key_id, failures, next_at, told_at, last_error, created_at, revision, format, sealed"
    };
}

statements! {
    INSERT = "INSERT INTO webhook (organization_id, id, name, url, enabled, events, data_key_id, failures, next_at, created_at, revision, sealed, format) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $8, 1, $9, $10)";
    UPDATE = "UPDATE webhook SET name = $3, url = $4, enabled = $5, events = $6, failures = 0, next_at = $7, last_error = NULL, revision = revision + 1 WHERE organization_id = $1 AND id = $2 AND revision = $8";
    FIND = (concat!("SELECT ", columns!(), " FROM webhook WHERE organization_id = $1 AND id = $2"));
    LIST = (concat!("SELECT ", columns!(), " FROM webhook WHERE organization_id = $1 ORDER BY id"));
    DELETE = "DELETE FROM webhook WHERE organization_id = $1 AND id = $2";
    TOLD = "UPDATE webhook SET failures = 0, told_at = $3, last_error = NULL WHERE organization_id = $1 AND id = $2";
    FAILED = "UPDATE webhook SET failures = failures + 1, next_at = $3, last_error = $4 WHERE organization_id = $1 AND id = $2";
    QUEUE = "INSERT INTO webhook_delivery (organization_id, webhook_id, id, attempts, next_at, created_at, body) VALUES ($1, $2, $3, 0, $4, $4, $5)";
    DUE = "SELECT organization_id, webhook_id, id, attempts, created_at, body FROM webhook_delivery WHERE organization_id = $1 AND next_at <= $2 ORDER BY next_at, id LIMIT $3";
    /// Of two replicas one gets the turn; whoever has it and dies leaves it due again later.
    CLAIM = "UPDATE webhook_delivery SET attempts = attempts + 1, next_at = $5 WHERE organization_id = $1 AND webhook_id = $2 AND id = $3 AND attempts = $4";
    DONE = "DELETE FROM webhook_delivery WHERE organization_id = $1 AND webhook_id = $2 AND id = $3";
    PLACES = "SELECT writer_id, seq FROM webhook_place WHERE organization_id = $1 AND webhook_id = $2";
    PUT_PLACE = "INSERT INTO webhook_place (organization_id, webhook_id, writer_id, seq) VALUES ($1, $2, $3, $4) ON CONFLICT (organization_id, webhook_id, writer_id) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > webhook_place.seq";
}

#[derive(sqlx::FromRow)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    name: String,
    url: String,
    enabled: bool,
    events: Json<Value>,
    data_key_id: Uuid,
    failures: i64,
    next_at: i64,
    told_at: Option<i64>,
    last_error: Option<String>,
    created_at: i64,
    revision: i64,
    format: String,
    sealed: Vec<u8>,
}

impl TryFrom<Row> for Webhook {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            format: word(&row.format, WebhookFormat::from_word, "webhook format")?,
            id: WebhookId::from_uuid(row.id),
            organization: OrganizationId::from_uuid(row.organization_id),
            name: row.name,
            url: row.url,
            enabled: row.enabled,
            events: row.events.0,
            secret: SealedWith {
                data_key: DataKeyId::from_uuid(row.data_key_id),
                sealed: Sealed(row.sealed),
            },
            failures: row.failures,
            next_at: Timestamp::from_micros(row.next_at),
            told_at: row.told_at.map(Timestamp::from_micros),
            last_error: row.last_error,
            created_at: Timestamp::from_micros(row.created_at),
            revision: row.revision,
        })
    }
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    organization_id: Uuid,
    webhook_id: Uuid,
    id: Uuid,
    attempts: i64,
    created_at: i64,
    body: String,
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            organization: OrganizationId::from_uuid(row.organization_id),
            webhook: WebhookId::from_uuid(row.webhook_id),
            id: EventId::from_uuid(row.id),
            body: row.body,
            attempts: row.attempts,
            created_at: Timestamp::from_micros(row.created_at),
        }
    }
}

impl Tx {
    pub fn webhooks(&mut self) -> Webhooks<'_> {
        Webhooks { tx: self }
    }
}

/// See [`Tx::webhooks`].
#[derive(Debug)]
pub struct Webhooks<'t> {
    tx: &'t mut Tx,
}

impl Webhooks<'_> {
    pub async fn insert(self, webhook: &Webhook) -> Result<(), StorageError> {
        let events = document(&webhook.events, "webhook events")?;
        execute!(
            self.tx,
            INSERT,
            webhook.organization.as_uuid(),
            webhook.id.as_uuid(),
            text(&webhook.name),
            text(&webhook.url),
            webhook.enabled,
            &events,
            webhook.secret.data_key.as_uuid(),
            webhook.created_at.as_micros(),
            &webhook.secret.sealed.0[..],
            webhook.format.as_str(),
        )
        .map(drop)
    }

    /// Name, address, events, whether it is told anything; `false` when it was changed since it was read.
    pub async fn update(self, webhook: &Webhook, now: Timestamp) -> Result<bool, StorageError> {
        let events = document(&webhook.events, "webhook events")?;
        let updated = execute!(
            self.tx,
            UPDATE,
            webhook.organization.as_uuid(),
            webhook.id.as_uuid(),
            text(&webhook.name),
            text(&webhook.url),
            webhook.enabled,
            &events,
            now.as_micros(),
            webhook.revision,
        )?;
        Ok(updated == 1)
    }

    pub async fn find(
        self,
        organization: OrganizationId,
        id: WebhookId,
    ) -> Result<Option<Webhook>, StorageError> {
        fetch_optional!(self.tx, FIND => Row, organization.as_uuid(), id.as_uuid())?
            .map(Webhook::try_from)
            .transpose()
    }

    pub async fn list(self, organization: OrganizationId) -> Result<Vec<Webhook>, StorageError> {
        let rows = fetch_all!(self.tx, LIST => Row, organization.as_uuid())?;
        rows.into_iter().map(Webhook::try_from).collect()
    }

    pub async fn delete(self, organization: OrganizationId, id: WebhookId) -> Result<bool, StorageError> {
        Ok(execute!(self.tx, DELETE, organization.as_uuid(), id.as_uuid())? == 1)
    }

    /// A delivery got there.
    pub async fn told(self, webhook: &Webhook, now: Timestamp) -> Result<(), StorageError> {
        execute!(self.tx, TOLD, webhook.organization.as_uuid(), webhook.id.as_uuid(), now.as_micros())
            .map(drop)
    }

    /// One did not, and why.
    pub async fn failed(self, webhook: &Webhook, next_at: Timestamp, why: &str) -> Result<(), StorageError> {
        let (org, id) = (webhook.organization.as_uuid(), webhook.id.as_uuid());
        execute!(self.tx, FAILED, org, id, next_at.as_micros(), text(why)).map(drop)
    }

    /// To be told, from now on: in the transaction of what it is about.
    pub async fn queue(self, delivery: &Delivery) -> Result<(), StorageError> {
        execute!(
            self.tx,
            QUEUE,
            delivery.organization.as_uuid(),
            delivery.webhook.as_uuid(),
            delivery.id.as_uuid(),
            delivery.created_at.as_micros(),
            &delivery.body,
        )
        .map(drop)
    }

    /// The longest waiting first.
    pub async fn due(
        self,
        organization: OrganizationId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, StorageError> {
        let (org, now) = (organization.as_uuid(), now.as_micros());
        let rows = fetch_all!(self.tx, DUE => DeliveryRow, org, now, i64::from(limit))?;
        Ok(rows.into_iter().map(Delivery::from).collect())
    }

    /// Whether the turn is the caller's; the next one is not before `next_at`.
    pub async fn claim(self, delivery: &Delivery, next_at: Timestamp) -> Result<bool, StorageError> {
        let (org, webhook) = (delivery.organization.as_uuid(), delivery.webhook.as_uuid());
        let claimed = execute!(
            self.tx,
            CLAIM,
            org,
            webhook,
            delivery.id.as_uuid(),
            delivery.attempts,
            next_at.as_micros()
        )?;
        Ok(claimed == 1)
    }

    /// Told, or given up.
    pub async fn done(self, delivery: &Delivery) -> Result<(), StorageError> {
        let (org, webhook) = (delivery.organization.as_uuid(), delivery.webhook.as_uuid());
        execute!(self.tx, DONE, org, webhook, delivery.id.as_uuid()).map(drop)
    }

    /// Up to where it was told each chain of the audit log.
    pub async fn places(
        self,
        organization: OrganizationId,
        id: WebhookId,
    ) -> Result<Vec<(WriterId, i64)>, StorageError> {
        let rows = fetch_all!(self.tx, PLACES => (Uuid, i64), organization.as_uuid(), id.as_uuid())?;
        Ok(rows.into_iter().map(|(writer, seq)| (WriterId::from_uuid(writer), seq)).collect())
    }

    pub async fn put_place(
        self,
        organization: OrganizationId,
        id: WebhookId,
        (writer, seq): (WriterId, i64),
    ) -> Result<(), StorageError> {
        execute!(self.tx, PUT_PLACE, organization.as_uuid(), id.as_uuid(), writer.as_uuid(), seq).map(drop)
    }
}
