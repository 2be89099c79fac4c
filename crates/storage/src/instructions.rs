//! What a server said of itself before it said something else: kept for whoever reviews the change.

use switchboard_domain::{ConnectionId, OrganizationId};

use crate::{
    StorageError, Tx,
    row::text,
    statement::{execute, fetch_optional, statements},
};

statements! {
    REMEMBER = "UPDATE connection SET instructions_before = $3 WHERE organization_id = $1 AND id = $2";
    BEFORE = "SELECT instructions_before FROM connection WHERE organization_id = $1 AND id = $2";
}

impl Tx {
    pub fn instructions(&mut self) -> Instructions<'_> {
        Instructions { tx: self }
    }
}

/// See [`Tx::instructions`].
#[derive(Debug)]
pub struct Instructions<'t> {
    tx: &'t mut Tx,
}

impl Instructions<'_> {
    pub async fn remember(
        self,
        organization: OrganizationId,
        id: ConnectionId,
        instructions: Option<&str>,
    ) -> Result<(), StorageError> {
        execute!(self.tx, REMEMBER, organization.as_uuid(), id.as_uuid(), instructions.map(text)).map(drop)
    }

    pub async fn before(
        self,
        organization: OrganizationId,
        id: ConnectionId,
    ) -> Result<Option<String>, StorageError> {
        let row =
            fetch_optional!(self.tx, BEFORE => (Option<String>,), organization.as_uuid(), id.as_uuid())?;
        Ok(row.and_then(|(before,)| before))
    }
}
