//! Forms of the console that were sent after their session had ended, or before their sender proved who they are. Nothing of
//! one is lost and nothing of it happens: it waits, sealed, for its member, under a handle that only their browser has.

use std::time::Duration;

use switchboard_domain::{KeptFormId, MemberId, OrganizationId, SecretValue};
use switchboard_storage::{KeptFormRow, SealedWith};
use switchboard_vault::{SealContext, issue_opaque, open, parse_opaque, seal};
use zeroize::Zeroizing;

use crate::{Broker, SignedIn, manage::Refusal};

/// For how long it is known that a form was sent: nobody reloads its answer later.
const SENT: Duration = Duration::from_secs(24 * 60 * 60);

/// Whose a form is.
pub type FormOwner = (OrganizationId, MemberId);

/// A form that waits.
#[derive(Debug, Clone)]
pub struct KeptForm {
    /// Where it was sent to.
    pub action: String,
    pub fields: Vec<(String, SecretValue)>,
}

impl KeptForm {
    /// How long one waits.
    pub const WAITS: Duration = Duration::from_secs(15 * 60);
    /// Of one member; the oldest give way.
    const MOST: u32 = 8;

    fn written(&self) -> Option<Zeroizing<Vec<u8>>> {
        let fields: Vec<_> = self.fields.iter().map(|(name, value)| (name, value.expose())).collect();
        serde_json::to_vec(&(&self.action, fields)).ok().map(Zeroizing::new)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (action, fields) = serde_json::from_slice(bytes).ok()?;
        Some(Self { action, fields })
    }
}

impl Broker {
    /// Keeps it for its member; the handle that finds it again.
    pub async fn keep_form(&self, owner: FormOwner, form: &KeptForm) -> Result<SecretValue, Refusal> {
        let (organization, member) = owner;
        let now = self.clock().now();
        let id = KeptFormId::new(self.clock(), self.random());
        let handle = issue_opaque("", self.random());
        let key = self.data_keys().active(organization).await?;
        let written = form.written().ok_or_else(Refusal::unavailable)?;
        let sealed = seal(&key.key, &context(owner, id), &written, self.random());
        let row = KeptFormRow {
            organization,
            id,
            member,
            created_at: now,
            expires_at: now.plus(KeptForm::WAITS),
            form: SealedWith { data_key: key.id, sealed },
        };
        let mut tx = self.db().write().await?;
        tx.kept_forms().insert(&row, handle.hash.as_bytes(), KeptForm::MOST).await?;
        tx.commit().await?;
        Ok(handle.secret)
    }

    /// The one that waits under this handle; `None` for everybody but its member.
    pub async fn kept_form(&self, signed_in: &SignedIn, handle: &str) -> Result<Option<KeptForm>, Refusal> {
        let owner = (signed_in.principal.organization, signed_in.member);
        let Ok(hash) = parse_opaque("", handle) else { return Ok(None) };
        let mut reader = self.db().single().await?;
        let found = reader.kept_forms().find(owner, hash.as_bytes(), self.clock().now()).await?;
        let Some(row) = found else { return Ok(None) };
        drop(reader);
        let key = self.data_keys().by_id(owner.0, row.form.data_key).await?;
        let key = key.ok_or_else(Refusal::unavailable)?;
        let plain = open(&key.key, &context(owner, row.id), &row.form.sealed);
        plain.ok().and_then(|plain| KeptForm::read(&plain)).map(Some).ok_or_else(Refusal::unavailable)
    }

    /// Whether a form, by its digest, was not sent before.
    pub async fn first_time(&self, organization: OrganizationId, form: [u8; 32]) -> Result<bool, Refusal> {
        let mut tx = self.db().write().await?;
        let until = self.clock().now().plus(SENT);
        let is_first = tx.mcp_used_states().use_up(organization, &form, until).await?;
        tx.commit().await?;
        Ok(is_first)
    }

    /// It was sent, or nobody wants it any more.
    pub async fn discard_form(&self, signed_in: &SignedIn, handle: &str) -> Result<(), Refusal> {
        let owner = (signed_in.principal.organization, signed_in.member);
        let Ok(hash) = parse_opaque("", handle) else { return Ok(()) };
        let mut tx = self.db().write().await?;
        tx.kept_forms().delete(owner, hash.as_bytes()).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn context((organization, member): FormOwner, id: KeptFormId) -> SealContext {
    SealContext {
        organization,
        table: "kept_form",
        row: id.as_uuid(),
        owner: Some(member.as_uuid()),
        field: "sealed",
        version: 1,
    }
}
