//! The guardrail: where an organization's calls are asked about.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{GuardrailFailure, GuardrailId, OrganizationId, Principal, Timestamp};
use switchboard_storage::{Guardrail, SealedWith};

use super::{
    Operation, Refusal, Target, authorize, connection_view::origin, record::Change, refusal::Violations,
};
use crate::{Broker, guardrail::guardrail_context};

/// The guardrail, read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Guardrail)]
pub struct GuardrailView {
    pub url: String,
    /// Asked before a call goes out.
    pub before: bool,
    /// Asked about a result before the caller has it.
    pub after: bool,
    /// `closed`: without an answer nothing runs, and no result is given out. `open`: calls go on.
    #[schema(value_type = String)]
    pub on_failure: GuardrailFailure,
    /// What questions are signed with is shown once, when it is made.
    pub has_secret: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    #[serde(skip)]
    pub revision: i64,
}

impl From<Guardrail> for GuardrailView {
    fn from(found: Guardrail) -> Self {
        Self {
            url: found.url,
            before: found.before_call,
            after: found.after_result,
            on_failure: found.on_failure,
            has_secret: true,
            created_at: found.created_at,
            updated_at: found.updated_at,
            revision: found.revision,
        }
    }
}

/// The whole of it; what is absent is as it begins.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardrailInput {
    /// Absolute `https` URL.
    pub url: String,
    #[serde(default = "yes")]
    pub before: bool,
    #[serde(default)]
    pub after: bool,
    /// `closed` (without) or `open`.
    #[serde(default = "closed")]
    #[schema(value_type = Option<String>)]
    pub on_failure: GuardrailFailure,
    /// Sign with another secret from now on, which is answered.
    #[serde(default)]
    pub new_secret: bool,
}

const fn yes() -> bool {
    true
}

const fn closed() -> GuardrailFailure {
    GuardrailFailure::Closed
}

/// What was written, and the secret where one was made: shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WrittenGuardrail {
    pub guardrail: GuardrailView,
    /// `whsec_` and the key in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl Broker {
    /// A guardrail that is not there is not found.
    pub async fn read_guardrail(&self, principal: &Principal) -> Result<GuardrailView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadGuardrail, Target::Organization)?;
        let found = self.find_guardrail(principal.organization).await?;
        Ok(found.ok_or_else(Refusal::not_found)?.into())
    }

    async fn find_guardrail(&self, organization: OrganizationId) -> Result<Option<Guardrail>, Refusal> {
        Ok(self.db().single().await?.guardrails().find(organization).await?)
    }

    pub async fn put_guardrail(
        &self,
        principal: &Principal,
        seen: Option<i64>,
        input: GuardrailInput,
    ) -> Result<WrittenGuardrail, Refusal> {
        let allowed = authorize(principal, Operation::PutGuardrail, Target::Organization)?;
        let organization = principal.organization;
        self.check_guardrail(&input)?;
        let before = self.find_guardrail(organization).await?;
        if seen.is_some_and(|seen| before.as_ref().map(|before| before.revision) != Some(seen)) {
            return Err(Refusal::stale());
        }
        let now = self.clock().now();
        let id = before.as_ref().map_or_else(|| GuardrailId::new(self.clock(), self.random()), |it| it.id);
        let kept = before.as_ref().filter(|_| !input.new_secret).map(|before| before.secret.clone());
        let (secret, shown) = match kept {
            Some(kept) => (kept, None),
            None => self.new_guardrail_secret(organization, id).await.map(|(it, text)| (it, Some(text)))?,
        };
        let after = Guardrail {
            id,
            organization,
            url: input.url,
            before_call: input.before,
            after_result: input.after,
            on_failure: input.on_failure,
            secret,
            created_at: before.as_ref().map_or(now, |before| before.created_at),
            updated_at: now,
            revision: before.as_ref().map_or(1, |before| before.revision),
        };
        let mut tx = self.db().write().await?;
        let written = match &before {
            Some(_) => tx.guardrails().update(&after).await?,
            None => tx.guardrails().insert(&after).await?,
        };
        if !written {
            return Err(Refusal::stale());
        }
        let details = json!({
            "before": before.as_ref().map(facts), "after": facts(&after), "new_secret": shown.is_some(),
        });
        self.commit_change(&allowed, tx, Change::of(id).with(details)).await?;
        let found = self.find_guardrail(organization).await?.ok_or_else(Refusal::stale)?;
        Ok(WrittenGuardrail { guardrail: found.into(), secret: shown })
    }

    async fn new_guardrail_secret(
        &self,
        organization: OrganizationId,
        id: GuardrailId,
    ) -> Result<(SealedWith, String), Refusal> {
        let secret: [u8; 32] = self.random().bytes();
        let key = self.data_keys().active(organization).await?;
        let sealed = self.credentials().seal_value(&key, &guardrail_context(organization, id), &secret);
        Ok((sealed, format!("whsec_{}", STANDARD.encode(secret))))
    }

    fn check_guardrail(&self, input: &GuardrailInput) -> Result<(), Refusal> {
        let mut violations = Violations::default();
        if let Some(why) = self.egress().explain_url(&input.url) {
            violations.add("url", why);
        }
        if !input.before && !input.after {
            violations
                .add("before", "Ask it `before` calls, `after` results, or both; to ask nothing, delete it.");
        }
        violations.into_result()
    }

    /// From then on nobody is asked.
    pub async fn delete_guardrail(&self, principal: &Principal) -> Result<(), Refusal> {
        let allowed = authorize(principal, Operation::DeleteGuardrail, Target::Organization)?;
        let before = self.find_guardrail(principal.organization).await?.ok_or_else(Refusal::not_found)?;
        let mut tx = self.db().write().await?;
        if !tx.guardrails().delete(principal.organization).await? {
            return Err(Refusal::not_found());
        }
        let details = json!({ "before": facts(&before) });
        self.commit_change(&allowed, tx, Change::of(before.id).with(details)).await
    }
}

/// For the audit log: of the address its origin, as its path may hold a key.
fn facts(guardrail: &Guardrail) -> serde_json::Value {
    json!({
        "url": origin(&guardrail.url), "before": guardrail.before_call, "after": guardrail.after_result,
        "on_failure": guardrail.on_failure,
    })
}
