//! The operator's own audit entries, in the transaction of the change they are about.

use serde_json::{Value, json};
use switchboard_broker::chained_entry;
use switchboard_domain::{
    AuditAction, AuditEvent, AuditOutcome, AuditPhase, AuditRecord, DataKeyId, OrganizationId, WriterId,
};
use switchboard_storage::{self as storage, KeyState, Sealed, Tx};
use switchboard_vault::{ChainKey, DataKey, WrappedKey};

use super::Operator;
use crate::failure::Failure;

/// One change, as it will stand in the log.
pub(super) struct Change {
    pub(super) organization: OrganizationId,
    pub(super) action: AuditAction,
    pub(super) target: String,
    pub(super) details: Value,
}

impl Operator {
    /// Writes the entry. Every command is a writer of its own, so its chain begins here.
    pub(super) async fn record(&self, tx: &mut Tx, change: Change) -> Result<(), Failure> {
        let key = self.chain_key(tx, change.organization).await?;
        let event = AuditEvent {
            organization: change.organization,
            phase: AuditPhase::Event,
            at: self.clock.now(),
            action: change.action,
            record: AuditRecord {
                actor: Some(json!({"type": "operator", "id": "operator"})),
                client: Some("switchboard-cli".into()),
                target: Some(change.target),
                outcome: Some(AuditOutcome::Ok),
                details: Some(change.details),
                ..AuditRecord::default()
            },
        };
        let writer = WriterId::new(&*self.clock, &*self.random);
        let entry = chained_entry(&event, writer, 1, &key, [0; 32]);
        tx.audit().append(&[entry]).await?;
        Ok(())
    }

    /// The key of the organization's chain; its first data key is made when there is none.
    async fn chain_key(&self, tx: &mut Tx, organization: OrganizationId) -> Result<ChainKey, Failure> {
        for _ in 0..2 {
            let stored = tx.keys().data_keys(organization).await?;
            if let Some(active) = stored.into_iter().find(|key| key.state == KeyState::Active) {
                let wrapped = WrappedKey { kek_id: active.key_encryption_key, bytes: active.wrapped.0 };
                let key = self.keyring.unwrap(&wrapped, organization, active.id).map_err(|error| {
                    Failure::failed(format!("The organization's data key does not open: {error}."))
                })?;
                return Ok(ChainKey::derive(&key, organization));
            }
            self.make_data_key(tx, organization).await?;
        }
        Err(Failure::failed("The organization's data key could not be made. Try again."))
    }

    async fn make_data_key(&self, tx: &mut Tx, organization: OrganizationId) -> Result<(), Failure> {
        let id = DataKeyId::new(&*self.clock, &*self.random);
        let wrapped = self.keyring.wrap(&DataKey::generate(&*self.random), organization, id, &*self.random);
        tx.keys()
            .insert_data_key(&storage::DataKey {
                id,
                organization,
                key_encryption_key: wrapped.kek_id,
                wrapped: Sealed(wrapped.bytes),
                state: KeyState::Active,
                created_at: self.clock.now(),
            })
            .await?;
        Ok(())
    }
}
