//! Everything that is sealed with a data key, when keys are rotated or verified: column by column, in batches.

use switchboard_broker::sealed_context;
use switchboard_domain::{DataKeyId, OrganizationId};
use switchboard_storage::{SealedColumn, SealedRow, SealedWith};
use switchboard_vault::{self as vault, DataKey};

use super::Operator;
use crate::failure::Failure;

const BATCH: u32 = 100;

fn name(column: SealedColumn, row: &SealedRow) -> String {
    format!("{} {}", column.table(), row.row)
}

impl Operator {
    pub(super) async fn reseal_column(
        &self,
        column: SealedColumn,
        organization: OrganizationId,
        active: DataKeyId,
    ) -> Result<u64, Failure> {
        let (mut resealed, mut after) = (0, None);
        loop {
            let keys = self.opened_data_keys(organization).await?;
            let mut tx = self.db.single().await?;
            let batch = tx.sealed().not_with(column, organization, active, (after, BATCH)).await?;
            drop(tx);
            let Some(last) = batch.last() else { return Ok(resealed) };
            after = Some(last.row);
            for row in &batch {
                let with = self.sealed_again((column, row), organization, active, &keys)?;
                let mut tx = self.db.write().await?;
                resealed += u64::from(tx.sealed().swap(column, organization, row, &with).await?);
                tx.commit().await?;
            }
        }
    }

    fn sealed_again(
        &self,
        (column, row): (SealedColumn, &SealedRow),
        organization: OrganizationId,
        active: DataKeyId,
        keys: &[(DataKeyId, DataKey)],
    ) -> Result<SealedWith, Failure> {
        let find = |id| keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key);
        let (Some(old), Some(new)) = (find(row.value.data_key), find(active)) else {
            let name = name(column, row);
            return Err(Failure::failed(format!(
                "{name} is sealed with a data key that is gone. Restore a backup."
            )));
        };
        let context = sealed_context(organization, column, row);
        let sealed = vault::reseal(old, new, &context, &row.value.sealed, &*self.random)
            .map_err(|error| Failure::failed(format!("{} does not open: {error}.", name(column, row))))?;
        Ok(SealedWith { data_key: active, sealed })
    }

    /// How many there are, and what does not open, in words.
    pub(super) async fn verify_column(
        &self,
        column: SealedColumn,
        organization: OrganizationId,
        keys: &[(DataKeyId, DataKey)],
    ) -> Result<(u64, Vec<String>), Failure> {
        let (mut checked, mut faults, mut after) = (0, Vec::new(), None);
        // Nothing is sealed with the nil key: this lists all of them.
        let nobody = DataKeyId::from_uuid(uuid::Uuid::nil());
        loop {
            let mut tx = self.db.single().await?;
            let batch = tx.sealed().not_with(column, organization, nobody, (after, BATCH)).await?;
            drop(tx);
            let Some(last) = batch.last() else { return Ok((checked, faults)) };
            after = Some(last.row);
            for row in &batch {
                checked += 1;
                let key = keys.iter().find(|(id, _)| *id == row.value.data_key);
                let context = sealed_context(organization, column, row);
                faults.extend(match key {
                    None => Some(format!(
                        "{} is sealed with {}, which is gone",
                        name(column, row),
                        row.value.data_key
                    )),
                    Some((_, key)) => vault::open(key, &context, &row.value.sealed)
                        .err()
                        .map(|error| format!("{}: {error}", name(column, row))),
                });
            }
        }
    }
}
