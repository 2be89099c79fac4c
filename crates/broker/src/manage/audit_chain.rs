//! The audit log's chains: signed heads to keep elsewhere, and whether everything is as it was written.

use serde::{Deserialize, Serialize};
use switchboard_domain::{OrganizationId, Principal, Timestamp, WriterId};
use switchboard_storage::SignedHead;
use switchboard_vault::{HeadStatement, StatementKind};

use super::{Operation, Refusal, Target, authorize, refusal::Violations};
use crate::{AuditReport, Broker};

/// Heads that one request may bring.
const MOST_GIVEN: usize = 100_000;

/// A signed statement about a chain, in a form to keep and to bring back.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditHead)]
#[serde(deny_unknown_fields)]
pub struct HeadView {
    /// `head`: where the chain ended. `checkpoint`: up to where it was deleted because its time was over.
    pub kind: String,
    #[schema(value_type = String)]
    pub organization: OrganizationId,
    #[schema(value_type = String)]
    pub writer: WriterId,
    pub seq: i64,
    /// SHA-256 based, in hex: the hash of that entry.
    pub hash: String,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Ed25519, in hex.
    pub public_key: String,
    /// Over the text `switchboard-audit-<kind> v1 <organization> <writer> <seq> <hash> <at in microseconds>`; in hex.
    pub signature: String,
}

impl From<SignedHead> for HeadView {
    fn from(head: SignedHead) -> Self {
        let said = head.statement;
        Self {
            kind: said.kind.as_str().to_owned(),
            organization: said.organization,
            writer: said.writer,
            seq: said.seq,
            hash: hex::encode(said.hash),
            at: said.at,
            public_key: hex::encode(head.public_key),
            signature: hex::encode(head.signature),
        }
    }
}

impl HeadView {
    fn read(&self) -> Option<SignedHead> {
        fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
            hex::decode(text).ok()?.try_into().ok()
        }
        Some(SignedHead {
            statement: HeadStatement {
                kind: StatementKind::from_word(&self.kind)?,
                organization: self.organization,
                writer: self.writer,
                seq: self.seq,
                hash: bytes(&self.hash)?,
                at: self.at,
            },
            public_key: bytes(&self.public_key)?,
            signature: bytes(&self.signature)?,
        })
    }
}

/// Heads, to keep where nobody who can write to the database can write.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditHeads)]
pub struct HeadsView {
    pub items: Vec<HeadView>,
}

/// What to hold the log against.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[schema(as = VerifyAudit)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyAudit {
    /// Heads that were kept elsewhere, beside the ones that are stored.
    pub heads: Vec<HeadView>,
}

impl Broker {
    /// The statements as they were last signed.
    pub async fn list_audit_heads(&self, principal: &Principal) -> Result<HeadsView, Refusal> {
        let _allowed = authorize(principal, Operation::ReadAuditHeads, Target::Organization)?;
        let heads = self.db().single().await?.audit_heads().list(principal.organization).await?;
        Ok(HeadsView { items: heads.into_iter().map(HeadView::from).collect() })
    }

    /// Signs where all chains end at this moment.
    pub async fn sign_audit_heads(&self, principal: &Principal) -> Result<HeadsView, Refusal> {
        let _allowed = authorize(principal, Operation::SignAuditHeads, Target::Organization)?;
        let heads = self.sign_all_heads(principal.organization).await?;
        Ok(HeadsView { items: heads.into_iter().map(HeadView::from).collect() })
    }

    /// Follows all chains and names the first entry that is not as it was written.
    pub async fn verify_audit(
        &self,
        principal: &Principal,
        request: &VerifyAudit,
    ) -> Result<AuditReport, Refusal> {
        let _allowed = authorize(principal, Operation::VerifyAudit, Target::Organization)?;
        let mut violations = Violations::default();
        if request.heads.len() > MOST_GIVEN {
            violations.add("heads", format!("At most {MOST_GIVEN} at a time."));
        }
        let mut given = Vec::new();
        for (index, head) in request.heads.iter().enumerate().take(MOST_GIVEN) {
            match head.read() {
                Some(read) if read.statement.organization == principal.organization => given.push(read),
                Some(_) => violations.add(format!("heads[{index}]"), "It is of another organization."),
                None => violations.add(format!("heads[{index}]"), "It is no head as they are exported."),
            }
        }
        violations.into_result()?;
        Ok(self.verify_chains(principal.organization, given).await?)
    }
}
