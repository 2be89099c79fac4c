//! What is sealed beside credentials: secrets of identity providers and of webhooks, and members' tokens
//! of identity providers. All go the way of
//! credentials when keys are rotated or verified.

use switchboard_broker::identity::{identity_context, identity_provider_context};
use switchboard_broker::webhook_context;
use switchboard_domain::{DataKeyId, OrganizationId};
use switchboard_storage::{Identity, IdentityProvider, SealedWith, Webhook};
use switchboard_vault::{self as vault, DataKey, SealContext};

use super::Operator;
use crate::failure::Failure;

const BATCH: u32 = 100;

/// A sealed value that is no credential.
enum Sealed {
    Provider(Box<IdentityProvider>),
    Identity(Box<Identity>),
    Webhook(Box<Webhook>),
}

impl Sealed {
    fn value(&self) -> Option<&SealedWith> {
        match self {
            Self::Provider(provider) => provider.secret.as_ref(),
            Self::Identity(identity) => identity.tokens.as_ref(),
            Self::Webhook(webhook) => Some(&webhook.secret),
        }
    }

    fn context(&self) -> SealContext {
        match self {
            Self::Provider(provider) => identity_provider_context(provider),
            Self::Identity(identity) => identity_context(identity),
            Self::Webhook(webhook) => webhook_context(webhook.organization, webhook.id),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Provider(provider) => format!("the secret of identity provider {}", provider.id),
            Self::Identity(identity) => format!("the tokens of identity {}", identity.id),
            Self::Webhook(webhook) => format!("the secret of webhook {}", webhook.id),
        }
    }
}

impl Operator {
    async fn sealed_beside_credentials(
        &self,
        organization: OrganizationId,
        but: DataKeyId,
    ) -> Result<Vec<Sealed>, Failure> {
        let providers = self.db.single().await?.identity_providers().list(organization).await?;
        let with_another =
            |it: &IdentityProvider| it.secret.as_ref().is_some_and(|secret| secret.data_key != but);
        let mut found: Vec<Sealed> =
            providers.into_iter().filter(with_another).map(|it| Sealed::Provider(Box::new(it))).collect();
        let webhooks = self.db.single().await?.webhooks().list(organization).await?;
        let with_another = |it: &Webhook| it.secret.data_key != but;
        found.extend(webhooks.into_iter().filter(with_another).map(|it| Sealed::Webhook(Box::new(it))));
        let mut after = None;
        loop {
            let mut tx = self.db.single().await?;
            let batch = tx.identities().not_sealed_with(organization, but, after, BATCH).await?;
            drop(tx);
            let Some(last) = batch.last() else { return Ok(found) };
            after = Some(last.id);
            found.extend(batch.into_iter().map(|it| Sealed::Identity(Box::new(it))));
        }
    }

    pub(super) async fn reseal_beside_credentials(
        &self,
        organization: OrganizationId,
        active: DataKeyId,
        keys: &[(DataKeyId, DataKey)],
    ) -> Result<u64, Failure> {
        let find = |id| keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key);
        let mut resealed = 0;
        for sealed in self.sealed_beside_credentials(organization, active).await? {
            let Some(value) = sealed.value() else { continue };
            let (Some(old), Some(new)) = (find(value.data_key), find(active)) else {
                let text =
                    format!("{} is sealed with a data key that is gone. Restore a backup.", sealed.name());
                return Err(Failure::failed(text));
            };
            let again = vault::reseal(old, new, &sealed.context(), &value.sealed, &*self.random)
                .map_err(|error| Failure::failed(format!("{} does not open: {error}.", sealed.name())))?;
            let with = SealedWith { data_key: active, sealed: again };
            let mut tx = self.db.write().await?;
            // Whatever was replaced meanwhile was sealed with the new key by whoever did.
            let stored = match &sealed {
                Sealed::Provider(provider) => tx.identity_providers().reseal(provider, &with).await?,
                Sealed::Identity(identity) => tx.identities().reseal(identity, &with).await?,
                Sealed::Webhook(webhook) => tx.webhooks().reseal(webhook, &with).await?,
            };
            tx.commit().await?;
            resealed += u64::from(stored);
        }
        Ok(resealed)
    }

    /// How many there are, and what does not open, in words.
    pub(super) async fn verify_beside_credentials(
        &self,
        organization: OrganizationId,
        keys: &[(DataKeyId, DataKey)],
    ) -> Result<(u64, Vec<String>), Failure> {
        let (mut checked, mut faults) = (0, Vec::new());
        // Nothing is sealed with the nil key: this lists all of them.
        let nobody = DataKeyId::from_uuid(uuid::Uuid::nil());
        for sealed in self.sealed_beside_credentials(organization, nobody).await? {
            let Some(value) = sealed.value() else { continue };
            checked += 1;
            let key = keys.iter().find(|(id, _)| *id == value.data_key);
            faults.extend(match key {
                None => Some(format!("{} is sealed with {}, which is gone", sealed.name(), value.data_key)),
                Some((_, key)) => vault::open(key, &sealed.context(), &value.sealed)
                    .err()
                    .map(|error| format!("{}: {error}", sealed.name())),
            });
        }
        Ok((checked, faults))
    }
}
