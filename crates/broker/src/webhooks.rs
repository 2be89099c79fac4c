//! Telling an organization's own systems what happens: single events (an approval is asked for, or decided), and the
//! audit log as it is written.
//!
//! A delivery is a POST of JSON, signed as Standard Webhooks say (<https://www.standardwebhooks.com>): `webhook-id` is the
//! same in every try, `webhook-timestamp` is when it was sent, `webhook-signature` is `v1,` and the HMAC-SHA-256 of id,
//! timestamp and body. It goes through `egress` like everything else, in the background: no call ever waits for it. What is
//! not taken with a 2xx is tried again, less and less often; what waits is in the database, and survives a restart.

mod otlp;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use switchboard_domain::{
    AuditOutcome, AuditPhase, AuditRecord, EventId, OrganizationId, Timestamp, WebhookFormat, WebhookId,
    WriterId,
};
use switchboard_egress::{ByteLimit, Deadlines, Redirects, Request};
use switchboard_storage::{Delivery, StorageError, Tx, Webhook};
use switchboard_vault::{SealContext, hmac, open};

use crate::{Broker, audit, manage::entry_view};

/// For one delivery.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nobody reads the answer.
const ANSWER: ByteLimit = ByteLimit { name: "answer of a webhook", bytes: 64 * 1024 };
const SIDE_BY_SIDE: usize = 8;
const BATCH: u32 = 100;
/// First pause after a failure; doubles.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Of a single event, over some hours. The audit log is never given up: it goes on where it was.
const ATTEMPTS: i64 = 12;
/// Entries of the audit log in one delivery.
const ENTRIES: u32 = 200;
/// Deliveries of the audit log in one turn of one webhook.
const TURN: usize = 50;

/// What a webhook can be told.
pub const EVENTS: &[&str] = &["approval.requested", "approval.decided", "audit.entries"];
pub(crate) const AUDIT: &str = "audit.entries";

/// The envelope of a webhook's secret.
pub(crate) fn webhook_context(organization: OrganizationId, id: WebhookId) -> SealContext {
    SealContext {
        organization,
        table: "webhook",
        row: id.as_uuid(),
        owner: None,
        field: "secret",
        version: 1,
    }
}

fn is_told(webhook: &Webhook, event: &str) -> bool {
    webhook.enabled && webhook.events.as_array().is_some_and(|events| events.iter().any(|name| name == event))
}

fn pause(attempts: i64) -> Duration {
    PAUSE.saturating_mul(1 << attempts.clamp(0, 10)).min(LONGEST_PAUSE)
}

impl Broker {
    /// Queues an event for whoever is told of it, in the transaction of what it is about. Never holds arguments.
    pub(crate) async fn queue_event(
        &self,
        tx: &mut Tx,
        organization: OrganizationId,
        event: &str,
        data: &Value,
    ) -> Result<(), StorageError> {
        let now = self.clock().now();
        let webhooks = tx.webhooks().list(organization).await?;
        let id = EventId::new(self.clock(), self.random());
        for webhook in webhooks.iter().filter(|webhook| is_told(webhook, event)) {
            let body = json!({ "type": event, "timestamp": now, "data": data }).to_string();
            let webhook = webhook.id;
            tx.webhooks()
                .queue(&Delivery { organization, webhook, id, body, attempts: 0, created_at: now })
                .await?;
        }
        Ok(())
    }

    /// Something was queued and committed.
    pub(crate) fn deliver_soon(&self) {
        self.0.webhooks_due.notify_one();
    }

    /// Waits for [`Self::deliver_soon`].
    pub(crate) async fn delivery_due(&self) {
        self.0.webhooks_due.notified().await;
    }

    /// Tries everything that is due, and brings the audit log where it is wanted.
    pub async fn deliver_due(&self) -> Result<(), StorageError> {
        for snapshot in self.all_snapshots() {
            let organization = snapshot.organization.id;
            let now = self.clock().now();
            let mut tx = self.db().single().await?;
            let webhooks = tx.webhooks().list(organization).await?;
            if webhooks.is_empty() {
                continue;
            }
            let due = tx.webhooks().due(organization, now, BATCH).await?;
            drop(tx);
            let of = |delivery: &Delivery| webhooks.iter().find(|webhook| webhook.id == delivery.webhook);
            let told = stream::iter(due)
                .map(|delivery| {
                    let webhook = of(&delivery).cloned();
                    async move { self.deliver(webhook.as_ref(), &delivery).await }
                })
                .buffer_unordered(SIDE_BY_SIDE)
                .collect::<Vec<_>>()
                .await;
            told.into_iter().collect::<Result<(), StorageError>>()?;
            for webhook in webhooks.iter().filter(|webhook| is_told(webhook, AUDIT) && webhook.next_at <= now)
            {
                self.stream_audit(webhook).await?;
            }
        }
        Ok(())
    }

    /// One try of one event.
    async fn deliver(&self, webhook: Option<&Webhook>, delivery: &Delivery) -> Result<(), StorageError> {
        let now = self.clock().now();
        let mut tx = self.db().write().await?;
        let is_ours = tx.webhooks().claim(delivery, now.plus(pause(delivery.attempts))).await?;
        tx.commit().await?;
        let Some(webhook) = webhook.filter(|webhook| is_ours && webhook.enabled) else { return Ok(()) };
        let sent = self.post(webhook, &delivery.id.to_string(), delivery.body.clone()).await;
        let is_last = delivery.attempts + 1 >= ATTEMPTS;
        let mut tx = self.db().write().await?;
        match &sent {
            Ok(()) => tx.webhooks().told(webhook, self.clock().now()).await?,
            Err(why) => tx.webhooks().failed(webhook, webhook.next_at, why).await?,
        }
        if sent.is_ok() || is_last {
            tx.webhooks().done(delivery).await?;
        }
        tx.commit().await?;
        if let (Err(why), true) = (&sent, is_last) {
            self.note_given_up(webhook, delivery, why).await;
        }
        Ok(())
    }

    async fn note_given_up(&self, webhook: &Webhook, delivery: &Delivery, why: &str) {
        tracing::warn!(webhook = %webhook.id, why, "a webhook does not take what it is told; it is given up");
        let record = AuditRecord {
            actor: Some(json!({ "type": "system", "id": "webhooks" })),
            target: Some(webhook.id.to_string()),
            outcome: Some(AuditOutcome::Failed),
            code: Some("not_delivered".into()),
            details: Some(json!({ "event": delivery.id, "why": why })),
            ..AuditRecord::default()
        };
        let now = self.clock().now();
        let event = audit::event(webhook.organization, now, AuditPhase::Event, "webhook.deliver", record);
        self.audit().queue(event).await;
    }

    /// Each chain of the audit log, from where this webhook was told. One replica does it at a time.
    async fn stream_audit(&self, webhook: &Webhook) -> Result<(), StorageError> {
        let organization = webhook.organization;
        let mut tx = self.db().single().await?;
        let ends = tx.audit().heads(organization).await?;
        let places = tx.webhooks().places(organization, webhook.id).await?;
        drop(tx);
        let place = |writer| places.iter().find(|(known, _)| *known == writer).map_or(0, |(_, seq)| *seq);
        let behind: Vec<(WriterId, i64)> = ends
            .iter()
            .map(|(writer, seq, _)| (*writer, place(*writer), *seq))
            .filter(|(_, told, end)| told < end)
            .map(|(writer, told, _)| (writer, told))
            .collect();
        if behind.is_empty() {
            return Ok(());
        }
        let (now, name) = (self.clock().now(), format!("webhook:{}", webhook.id));
        let mut tx = self.db().write().await?;
        let until = now.plus(PATIENCE.saturating_mul(u32::try_from(TURN).unwrap_or(u32::MAX)));
        let lease = tx.leases().acquire(&name, self.schedule().holder(), now, until).await?;
        tx.commit().await?;
        let Some(lease) = lease else { return Ok(()) };
        let outcome = self.stream_chains(webhook, behind).await;
        let mut tx = self.db().write().await?;
        tx.leases().release(&lease).await?;
        tx.commit().await?;
        outcome
    }

    async fn stream_chains(
        &self,
        webhook: &Webhook,
        behind: Vec<(WriterId, i64)>,
    ) -> Result<(), StorageError> {
        let organization = webhook.organization;
        let mut turns = TURN;
        for (writer, mut told) in behind {
            while turns > 0 {
                turns -= 1;
                let mut tx = self.db().single().await?;
                let page = tx.audit().chain(organization, writer, told, ENTRIES).await?;
                drop(tx);
                let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
                let (from, to) = (first.seq, last.seq);
                let body = match webhook.format {
                    WebhookFormat::Otlp => otlp::logs(&page, self.clock().now()),
                    WebhookFormat::Json => {
                        let entries: Vec<Value> = page.iter().map(entry_view).collect();
                        let data = json!({ "organization": organization, "entries": entries });
                        json!({ "type": AUDIT, "timestamp": self.clock().now(), "data": data })
                    }
                };
                let sent = self.post(webhook, &format!("aud_{writer}_{from}_{to}"), body.to_string()).await;
                let now = self.clock().now();
                let mut tx = self.db().write().await?;
                match &sent {
                    Ok(()) => {
                        tx.webhooks().put_place(organization, webhook.id, (writer, to)).await?;
                        tx.webhooks().told(webhook, now).await?;
                    }
                    Err(why) => {
                        let next_at = now.plus(pause(webhook.failures));
                        tx.webhooks().failed(webhook, next_at, why).await?;
                    }
                }
                tx.commit().await?;
                if let Err(why) = sent {
                    tracing::info!(webhook = %webhook.id, why, "a webhook does not take the audit log; it goes on later");
                    return Ok(());
                }
                told = to;
            }
        }
        Ok(())
    }

    /// One POST; why it was not taken, in a few words.
    async fn post(&self, webhook: &Webhook, id: &str, body: String) -> Result<(), String> {
        let key = self.data_keys().by_id(webhook.organization, webhook.secret.data_key).await;
        let Ok(Some(key)) = key else { return Err("its secret's key is not to be had".into()) };
        let context = webhook_context(webhook.organization, webhook.id);
        let secret = open(&key.key, &context, &webhook.secret.sealed)
            .map_err(|_| "its secret can't be opened".to_owned())?;
        let url = self.egress().check_url(&webhook.url).map_err(|error| error.to_string())?;
        let request = Request {
            method: Method::POST,
            url,
            headers: signed(&secret, id, self.clock().now(), &body).ok_or("its id is no header")?,
            body: Bytes::from(body),
            deadlines: Deadlines { total: PATIENCE, first_byte: PATIENCE, idle: PATIENCE },
            max_wire_bytes: ANSWER,
            max_inflated_bytes: ANSWER,
            redirects: Redirects::Refuse,
            accept_gzip: false,
        };
        let answer = self.egress().send(request).await.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(format!("it answered {}", answer.status.as_u16()))
        }
    }
}

/// The headers of a delivery, and of a question to a guardrail.
pub(crate) fn signed(secret: &[u8], id: &str, at: Timestamp, body: &str) -> Option<HeaderMap> {
    let seconds = at.as_secs().to_string();
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", seconds.as_bytes(), b".", body.as_bytes()];
    let signature = format!("v1,{}", STANDARD.encode(hmac(secret, &parts)));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("switchboard"));
    headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
    headers.insert("webhook-timestamp", HeaderValue::from_str(&seconds).ok()?);
    headers.insert("webhook-signature", HeaderValue::from_str(&signature).ok()?);
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn it_signs_as_standard_webhooks_say() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = Timestamp::from_micros(1_614_265_330 * 1_000_000);
        let headers = signed(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!(pause(0), Duration::from_secs(5));
        assert_eq!(pause(3), Duration::from_secs(40));
        assert_eq!(pause(1_000), LONGEST_PAUSE);
        assert_eq!(pause(-1), PAUSE);
    }
}
