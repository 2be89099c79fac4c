//! Webhooks: where an organization wants to be told what happens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{OrganizationId, Principal, Timestamp, WebhookFormat, WebhookId};
use switchboard_storage::{SealedWith, Webhook};
use switchboard_vault::seal;

use super::{
    Operation, Refusal, Target, authorize, connection_input::check_name, connection_view::origin,
    record::Change, refusal::Violations,
};
use crate::{
    Broker,
    webhooks::{AUDIT, EVENTS, webhook_context},
};

const MOST: usize = 20;

/// A webhook, read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView {
    #[schema(value_type = String)]
    pub id: WebhookId,
    pub name: String,
    pub url: String,
    pub enabled: bool,
    pub events: Vec<String>,
    /// `json`, or `otlp` for a collector of logs.
    #[schema(value_type = String)]
    pub format: WebhookFormat,
    /// What deliveries are signed with is shown once, when it is made.
    pub has_secret: bool,
    /// Failures in a row.
    pub failures: i64,
    pub last_error: Option<String>,
    /// When a delivery was last taken.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub told_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[serde(skip)]
    pub revision: i64,
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        let events = webhook.events.as_array().into_iter().flatten();
        Self {
            events: events.filter_map(|event| event.as_str().map(str::to_owned)).collect(),
            id: webhook.id,
            name: webhook.name,
            url: webhook.url,
            enabled: webhook.enabled,
            format: webhook.format,
            has_secret: true,
            failures: webhook.failures,
            last_error: webhook.last_error,
            told_at: webhook.told_at,
            created_at: webhook.created_at,
            revision: webhook.revision,
        }
    }
}

/// All of an organization.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Webhooks)]
pub struct WebhooksView {
    pub items: Vec<WebhookView>,
}

/// A webhook to add.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    pub name: String,
    /// Absolute `https` URL.
    pub url: String,
    /// `approval.requested`, `approval.decided`, `audit.entries`.
    pub events: Vec<String>,
    /// `json` (without), or `otlp`: entries of the audit log as OTLP logs, to a collector's `/v1/logs`.
    #[serde(default = "json_format")]
    #[schema(value_type = Option<String>)]
    pub format: WebhookFormat,
}

const fn json_format() -> WebhookFormat {
    WebhookFormat::Json
}

/// Changes to one; an absent member stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookEdit {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub events: Option<Vec<String>>,
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// A webhook with what its deliveries are signed with: shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CreatedWebhook {
    pub webhook: WebhookView,
    /// `whsec_` and the key in base64.
    pub secret: String,
}

impl Broker {
    fn check_webhook(&self, webhook: &Webhook) -> Result<(), Refusal> {
        let mut violations = Violations::default();
        check_name(&webhook.name, &mut violations);
        if let Some(why) = self.egress().explain_url(&webhook.url) {
            violations.add("url", why);
        }
        let events = webhook.events.as_array().map(Vec::as_slice).unwrap_or_default();
        if events.is_empty() || events.iter().any(|event| !EVENTS.iter().any(|known| event == known)) {
            violations.add("events", format!("Name one or more of {}.", EVENTS.join(", ")));
        }
        let audit_alone = events.len() == 1 && events[0] == AUDIT;
        if webhook.format == WebhookFormat::Otlp && !audit_alone {
            violations.add("events", format!("A collector of logs takes {AUDIT} and nothing else."));
        }
        violations.into_result()
    }

    pub async fn list_webhooks(&self, principal: &Principal) -> Result<WebhooksView, Refusal> {
        let _allowed = authorize(principal, Operation::ListWebhooks, Target::Organization)?;
        let webhooks = self.db().single().await?.webhooks().list(principal.organization).await?;
        Ok(WebhooksView { items: webhooks.into_iter().map(WebhookView::from).collect() })
    }

    pub async fn read_webhook(&self, principal: &Principal, id: WebhookId) -> Result<WebhookView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadWebhook, Target::Organization)?;
        Ok(self.find_webhook(principal.organization, id).await?.into())
    }

    async fn find_webhook(&self, organization: OrganizationId, id: WebhookId) -> Result<Webhook, Refusal> {
        let found = self.db().single().await?.webhooks().find(organization, id).await?;
        found.ok_or_else(Refusal::not_found)
    }

    /// Of the audit log it is told what comes from now on.
    pub async fn create_webhook(
        &self,
        principal: &Principal,
        new: NewWebhook,
    ) -> Result<CreatedWebhook, Refusal> {
        let allowed = authorize(principal, Operation::CreateWebhook, Target::Organization)?;
        let organization = principal.organization;
        let id = WebhookId::new(self.clock(), self.random());
        let secret: [u8; 32] = self.random().bytes();
        let key = self.data_keys().active(organization).await?;
        let sealed = seal(&key.key, &webhook_context(organization, id), &secret, self.random());
        let now = self.clock().now();
        let webhook = Webhook {
            id,
            organization,
            name: new.name.trim().to_owned(),
            url: new.url,
            enabled: true,
            events: json!(new.events),
            format: new.format,
            secret: SealedWith { data_key: key.id, sealed },
            failures: 0,
            next_at: now,
            told_at: None,
            last_error: None,
            created_at: now,
            revision: 1,
        };
        self.check_webhook(&webhook)?;
        let mut tx = self.db().write().await?;
        if tx.webhooks().list(organization).await?.len() >= MOST {
            let text =
                format!("There are {MOST} webhooks, which is the most there can be. Remove one first.");
            return Err(Refusal::conflict("too_many_webhooks", text));
        }
        tx.webhooks().insert(&webhook).await?;
        for (writer, seq, _) in tx.audit().heads(organization).await? {
            tx.webhooks().put_place(organization, id, (writer, seq)).await?;
        }
        self.commit_change(&allowed, tx, Change::of(id).with(facts(&webhook))).await?;
        let webhook = self.find_webhook(organization, id).await?.into();
        Ok(CreatedWebhook { webhook, secret: format!("whsec_{}", STANDARD.encode(secret)) })
    }

    pub async fn update_webhook(
        &self,
        principal: &Principal,
        id: WebhookId,
        seen: Option<i64>,
        edit: WebhookEdit,
    ) -> Result<WebhookView, Refusal> {
        let allowed = authorize(principal, Operation::UpdateWebhook, Target::Organization)?;
        let before = self.find_webhook(principal.organization, id).await?;
        if seen.is_some_and(|seen| seen != before.revision) {
            return Err(Refusal::stale());
        }
        let mut after = before.clone();
        after.name = edit.name.map_or(after.name, |name| name.trim().to_owned());
        after.url = edit.url.unwrap_or(after.url);
        after.events = edit.events.map_or(after.events, |events| json!(events));
        after.enabled = edit.enabled.unwrap_or(after.enabled);
        self.check_webhook(&after)?;
        let mut tx = self.db().write().await?;
        if !tx.webhooks().update(&after, self.clock().now()).await? {
            return Err(Refusal::stale());
        }
        let details = json!({ "before": facts(&before), "after": facts(&after) });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        self.deliver_soon();
        self.read_webhook(principal, id).await
    }

    pub async fn delete_webhook(&self, principal: &Principal, id: WebhookId) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::DeleteWebhook, Target::Organization)?;
        let webhook = self.find_webhook(principal.organization, id).await?;
        let mut tx = self.db().write().await?;
        if !tx.webhooks().delete(principal.organization, id).await? {
            return Err(Refusal::not_found());
        }
        self.commit_change(&allowed, tx, Change::of(id).with(facts(&webhook))).await
    }
}

/// For the audit log: of the address its origin, as its path may hold a key.
fn facts(webhook: &Webhook) -> serde_json::Value {
    json!({
        "name": webhook.name, "url": origin(&webhook.url), "enabled": webhook.enabled, "events": webhook.events,
        "format": webhook.format,
    })
}
