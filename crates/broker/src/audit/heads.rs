//! Signing where the chains end, so that an end that goes missing is noticed (THREATS L1).
//!
//! A process signs its own two chains, of calls and of changes, from what it remembers and not from what the database
//! says by then. The chains of others (commands of the operator, processes that are gone) are signed as they are found,
//! and never further back than before. Each new head is a line of the log as well: there it is out of reach for whoever
//! can write to the database.

use std::collections::HashMap;

use switchboard_domain::{OrganizationId, WriterId};
use switchboard_storage::{SignedHead, StorageError};
use switchboard_vault::{HeadKey, HeadStatement, StatementKind};

use crate::{Broker, DataKeyError};

/// Where a chain ends.
pub(crate) type End = (i64, [u8; 32]);

impl Broker {
    /// Signs the ends of this process's own chains that moved since they were signed.
    pub async fn sign_own_heads(&self) -> Result<(), DataKeyError> {
        let mut ends: Vec<(OrganizationId, WriterId, End)> = self.audit().ends().await;
        ends.extend(self.0.change_log.ends());
        for (organization, writer, end) in ends {
            let already = self.0.signed_ends.lock().get(&(organization, writer)) == Some(&end.0);
            if !already {
                let key = self.head_key(organization).await?;
                self.sign_head(&key, organization, writer, end).await?;
                self.0.signed_ends.lock().insert((organization, writer), end.0);
            }
        }
        Ok(())
    }

    /// Signs the ends of all chains of an organization; what is signed now.
    pub(crate) async fn sign_all_heads(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<SignedHead>, DataKeyError> {
        self.sign_own_heads().await?;
        let mut tx = self.db().read().await?;
        let ends = tx.audit().heads(organization).await?;
        let signed = tx.audit_heads().list(organization).await?;
        drop(tx);
        let mut known: HashMap<WriterId, i64> = HashMap::new();
        for head in signed.iter().filter(|head| head.statement.kind == StatementKind::Head) {
            known.insert(head.statement.writer, head.statement.seq);
        }
        let mut key = None;
        for (writer, seq, hash) in ends {
            // A chain that is shorter than it was is for `verify` to tell, not for us to sign.
            if known.get(&writer).is_some_and(|&signed| signed >= seq) {
                continue;
            }
            if key.is_none() {
                key = Some(self.head_key(organization).await?);
            }
            if let Some(key) = &key {
                self.sign_head(key, organization, writer, (seq, hash)).await?;
            }
        }
        Ok(self.db().single().await?.audit_heads().list(organization).await?)
    }

    /// What a signature of today is made with.
    pub(super) async fn head_key(&self, organization: OrganizationId) -> Result<HeadKey, DataKeyError> {
        let key = self.data_keys().active(organization).await?;
        Ok(HeadKey::derive(&key.key, organization))
    }

    async fn sign_head(
        &self,
        key: &HeadKey,
        organization: OrganizationId,
        writer: WriterId,
        (seq, hash): End,
    ) -> Result<(), StorageError> {
        let at = self.clock().now();
        let statement = HeadStatement { kind: StatementKind::Head, organization, writer, seq, hash, at };
        let head = signed(key, statement);
        let mut tx = self.db().write().await?;
        tx.audit_heads().put(&head).await?;
        tx.commit().await?;
        tracing::info!(
            organization = %organization,
            writer = %writer,
            seq,
            hash = hex::encode(hash),
            at = %at,
            public_key = hex::encode(head.public_key),
            signature = hex::encode(head.signature),
            "the end of a chain of the audit log is signed"
        );
        Ok(())
    }
}

pub(super) fn signed(key: &HeadKey, statement: HeadStatement) -> SignedHead {
    SignedHead { statement, public_key: key.public(), signature: key.sign(&statement) }
}
