//! Following every chain of an organization from its beginning, and holding it against what was signed: the first entry
//! of each chain that is not as it was written has a name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;
use switchboard_domain::{AuditOutcome, OrganizationId, WriterId};
use switchboard_storage::{AuditEntry, Db, SignedHead, StorageError};
use switchboard_vault::{ChainKey, HeadKey, StatementKind, chain_hash};

use crate::{Broker, DataKeyError};

const PAGE: u32 = 1_000;
/// Chains with something wrong that are told one by one.
const MOST_TOLD: usize = 100;

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditFault {
    /// It is not the text that was hashed, or not in its place.
    Altered,
    /// It is not there, and later ones are.
    Missing,
    /// It is not there, and neither is anything after it: a signed head says that it was.
    Truncated,
    /// It is another one than the head that was signed says.
    Replaced,
    /// A signed statement about it is not by this organization's key.
    BadSignature,
}

/// The first entry of a chain that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BadEntry {
    #[schema(value_type = String)]
    pub writer: WriterId,
    pub seq: i64,
    pub fault: AuditFault,
    pub message: String,
}

/// What following the chains came to.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct AuditReport {
    pub ok: bool,
    /// Chains: one of each process and of each of the operator's commands that wrote something.
    pub writers: u64,
    pub entries: u64,
    /// Signed heads and checkpoints that were compared, those given included.
    pub statements: u64,
    /// The first of the first chain that has one.
    pub first_bad: Option<BadEntry>,
    /// One for each chain, at most 100.
    pub bad: Vec<BadEntry>,
}

/// What entries and statements are checked with: of all data keys there were.
struct Keys {
    chain: HashMap<String, ChainKey>,
    head: BTreeSet<[u8; 32]>,
}

impl Broker {
    /// Follows all chains of an organization. `given` are heads that were kept elsewhere.
    pub(crate) async fn verify_chains(
        &self,
        organization: OrganizationId,
        given: Vec<SignedHead>,
    ) -> Result<AuditReport, DataKeyError> {
        let all = self.data_keys().all(organization).await?;
        let derive = |key: &crate::keys::OpenKey| ChainKey::derive(&key.key, organization);
        let keys = Keys {
            chain: all.iter().map(derive).map(|key| (key.digest().to_string(), key)).collect(),
            head: all.iter().map(|key| HeadKey::derive(&key.key, organization).public()).collect(),
        };
        let mut tx = self.db().read().await?;
        let mut statements = tx.audit_heads().list(organization).await?;
        statements.extend(given);
        let mut by_writer: BTreeMap<WriterId, Vec<SignedHead>> = BTreeMap::new();
        for (writer, ..) in tx.audit().heads(organization).await? {
            by_writer.entry(writer).or_default();
        }
        drop(tx);
        let mut report = AuditReport { statements: statements.len() as u64, ..AuditReport::default() };
        for statement in statements {
            by_writer.entry(statement.statement.writer).or_default().push(statement);
        }
        report.writers = by_writer.len() as u64;
        for (writer, statements) in by_writer {
            let (entries, bad) = self.follow(&keys, organization, writer, &statements).await?;
            report.entries += entries;
            report.bad.extend(bad.filter(|_| report.bad.len() < MOST_TOLD));
        }
        report.first_bad = report.bad.first().cloned();
        report.ok = report.bad.is_empty();
        Ok(report)
    }

    /// One chain; again when its front was deleted, as retention does, while it was read.
    async fn follow(
        &self,
        keys: &Keys,
        organization: OrganizationId,
        writer: WriterId,
        statements: &[SignedHead],
    ) -> Result<(u64, Option<BadEntry>), StorageError> {
        let mut deleted = self.deleted_up_to(organization, writer).await?;
        loop {
            let chain = Chain { db: self.db(), keys, organization, writer, statements };
            let outcome = chain.follow(deleted.as_ref()).await?;
            let now = self.deleted_up_to(organization, writer).await?;
            if outcome.1.is_none() || now == deleted {
                return Ok(outcome);
            }
            deleted = now;
        }
    }

    async fn deleted_up_to(
        &self,
        organization: OrganizationId,
        writer: WriterId,
    ) -> Result<Option<SignedHead>, StorageError> {
        let mut tx = self.db().single().await?;
        tx.audit_heads().find(organization, writer, StatementKind::Checkpoint).await
    }
}

struct Chain<'c> {
    db: &'c Db,
    keys: &'c Keys,
    organization: OrganizationId,
    writer: WriterId,
    statements: &'c [SignedHead],
}

impl Chain<'_> {
    fn bad(&self, seq: i64, fault: AuditFault, message: impl Into<String>) -> BadEntry {
        BadEntry { writer: self.writer, seq, fault, message: message.into() }
    }

    /// How many entries there are, and the first bad one.
    async fn follow(&self, checkpoint: Option<&SignedHead>) -> Result<(u64, Option<BadEntry>), StorageError> {
        if let Some(bad) = self.statements.iter().chain(checkpoint).find_map(|head| self.unsigned(head)) {
            return Ok((0, Some(bad)));
        }
        let said = checkpoint.map(|checkpoint| checkpoint.statement);
        let (mut seq, mut hash) = said.map_or((0, [0; 32]), |said| (said.seq, said.hash));
        let mut entries = 0;
        // What the end of the deleted part has to be, too.
        if let Some(bad) = self.replaced(seq, &hash) {
            return Ok((0, Some(bad)));
        }
        loop {
            let page = self.db.single().await?.audit().chain(self.organization, self.writer, seq, PAGE).await;
            let page = match page {
                Ok(page) => page,
                // A column that can't even be read.
                Err(StorageError::Unreadable(column)) => {
                    let message = format!("the {column} of this entry, or of one of the next, can't be read");
                    return Ok((entries, Some(self.bad(seq + 1, AuditFault::Altered, message))));
                }
                Err(error) => return Err(error),
            };
            for entry in &page {
                if let Some(bad) = self.check(entry, seq, &hash) {
                    return Ok((entries, Some(bad)));
                }
                (seq, hash) = (entry.seq, entry.hash);
                entries += 1;
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        let longest = self.statements.iter().max_by_key(|head| head.statement.seq);
        let bad = longest.filter(|head| head.statement.seq > seq).map(|head| {
            let message = format!(
                "the chain ends before it; a head signed at {} says that it went on to {}",
                head.statement.at, head.statement.seq
            );
            self.bad(seq + 1, AuditFault::Truncated, message)
        });
        Ok((entries, bad))
    }

    fn unsigned(&self, head: &SignedHead) -> Option<BadEntry> {
        let ours = self.keys.head.contains(&head.public_key)
            && head.statement.is_signed(&head.public_key, &head.signature);
        let message =
            format!("the signature of the {} is not this organization's", head.statement.kind.as_str());
        (!ours).then(|| self.bad(head.statement.seq, AuditFault::BadSignature, message))
    }

    fn replaced(&self, seq: i64, hash: &[u8; 32]) -> Option<BadEntry> {
        let other = |head: &&SignedHead| head.statement.seq == seq && head.statement.hash != *hash;
        self.statements.iter().find(other).map(|head| {
            let message = format!("a head signed at {} has another hash for it", head.statement.at);
            self.bad(seq, AuditFault::Replaced, message)
        })
    }

    fn check(&self, entry: &AuditEntry, before: i64, previous: &[u8; 32]) -> Option<BadEntry> {
        if entry.seq != before + 1 {
            return Some(self.bad(
                before + 1,
                AuditFault::Missing,
                format!("the next one there is {}", entry.seq),
            ));
        }
        let altered = |message: &str| Some(self.bad(entry.seq, AuditFault::Altered, message));
        let Ok(body) = serde_json::from_str::<Value>(&entry.body) else {
            return altered("its text is not what was written");
        };
        let Some(key) = body["key"].as_str().and_then(|digest| self.keys.chain.get(digest)) else {
            return altered("it was hashed with a key that is not this organization's");
        };
        if chain_hash(key, previous, entry.body.as_bytes()) != entry.hash || entry.previous_hash != *previous
        {
            return altered("its text or its hash is not what was written");
        }
        if !is_same(entry, &body) {
            return altered("what it is found by says something else than its text");
        }
        self.replaced(entry.seq, &entry.hash)
    }
}

/// Whether the columns say what the hashed text says: filters read the columns.
fn is_same(entry: &AuditEntry, body: &Value) -> bool {
    // As storage writes text of foreign origin.
    let text = |value: &Value| value.as_str().map(|text| text.replace('\0', "\u{fffd}"));
    body["organization"] == entry.organization.to_string()
        && body["writer"] == entry.writer.to_string()
        && body["seq"] == entry.seq
        && body["at"] == entry.at.as_micros()
        && body["phase"] == entry.phase.as_str()
        && text(&body["action"]).as_deref() == Some(&*entry.action)
        && text(&body["call_id"]) == entry.call_id
        && text(&body["actor"]["id"]) == entry.actor
        && text(&body["target"]) == entry.target
        && body["outcome"].as_str() == entry.outcome.map(AuditOutcome::as_str)
}
