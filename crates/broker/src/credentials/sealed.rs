//! What is sealed beside credentials: secrets of identity providers, and their members' tokens. Opened here, so that no
//! other module opens anything.

use switchboard_storage::SealedWith;
use switchboard_vault::{SealContext, open, seal};
use zeroize::Zeroizing;

use super::{CredentialError, Credentials};
use crate::keys::OpenKey;

impl Credentials {
    pub(crate) async fn open_value(
        &self,
        context: &SealContext,
        sealed: &SealedWith,
    ) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let key = self.keys.by_id(context.organization, sealed.data_key).await?;
        let key = key.ok_or(CredentialError::Unreadable)?;
        open(&key.key, context, &sealed.sealed).map_err(|_| CredentialError::Unreadable)
    }

    pub(crate) fn seal_value(&self, key: &OpenKey, context: &SealContext, plain: &[u8]) -> SealedWith {
        SealedWith { data_key: key.id, sealed: seal(&key.key, context, plain, &*self.random) }
    }
}
