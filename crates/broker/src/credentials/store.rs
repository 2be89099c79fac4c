//! Sealing and storing credentials. Durable when it returns (`synchronous=FULL`): nothing is used before.

use switchboard_domain::{
    Connection, ConnectionId, CredentialId, CredentialOwner, OrganizationId, Timestamp,
};
use switchboard_storage::{CredentialHealth, CredentialInfo, Lease, PutCredential, StoredCredential};
use switchboard_vault::seal;

use super::{
    CredentialError, Credentials, NewSecret, UpstreamTokens, context_of, secret::Plain, tokens::SealedTokens,
};
use crate::Broker;

impl Credentials {
    /// Seals and stores what a person gave, in place of an older one. Durable when it returns.
    pub(crate) async fn put(
        &self,
        connection: &Connection,
        owner: CredentialOwner,
        secret: &NewSecret,
    ) -> Result<i64, CredentialError> {
        self.store(connection, owner, &secret.into(), None).await
    }

    /// The same for tokens that a provider has issued just now to this owner.
    pub(crate) async fn put_tokens(
        &self,
        connection: &Connection,
        owner: CredentialOwner,
        tokens: &UpstreamTokens,
    ) -> Result<i64, CredentialError> {
        if !tokens.token_type.eq_ignore_ascii_case("bearer") {
            return Err(CredentialError::NotBearer);
        }
        let sealed = SealedTokens::new(tokens, self.clock.now());
        self.store(connection, owner, &Plain::of_tokens(sealed), tokens.expires_at).await
    }

    /// The next generation of what `before` describes, as its provider renewed it. Durable when it returns.
    pub(super) async fn put_renewed(
        &self,
        before: &CredentialInfo,
        plain: &Plain,
        expires_at: Option<Timestamp>,
        lease: &Lease,
    ) -> Result<(PutCredential, StoredCredential), CredentialError> {
        let key = self.keys.active(before.organization).await?;
        let info = CredentialInfo {
            data_key: key.id,
            generation: before.generation + 1,
            health: CredentialHealth::Healthy,
            expires_at,
            updated_at: self.clock.now(),
            ..before.clone()
        };
        let sealed = seal(&key.key, &context_of(&info), &plain.write()?, &*self.random);
        let stored = StoredCredential { info, sealed: switchboard_storage::Sealed(sealed.0) };
        let mut tx = self.db.write().await?;
        let outcome = tx.credentials().renew(&stored).await?;
        // Together, so that a process that ends right after leaves nobody waiting for its lease.
        tx.leases().release(lease).await?;
        tx.commit().await?;
        Ok((outcome, stored))
    }

    async fn store(
        &self,
        connection: &Connection,
        owner: CredentialOwner,
        plain: &Plain,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, CredentialError> {
        let bytes = plain.write()?;
        let key = self.keys.active(connection.organization).await?;
        // Somebody else may replace it at the same time: theirs counts, then ours.
        for _ in 0..5 {
            let before = self
                .db
                .single()
                .await?
                .credentials()
                .find(connection.organization, connection.id, owner)
                .await?;
            let info = CredentialInfo {
                id: before
                    .as_ref()
                    .map_or_else(|| CredentialId::new(&*self.clock, &*self.random), |before| before.info.id),
                organization: connection.organization,
                connection: connection.id,
                owner,
                data_key: key.id,
                generation: before.as_ref().map_or(1, |before| before.info.generation + 1),
                health: CredentialHealth::Healthy,
                expires_at,
                updated_at: self.clock.now(),
            };
            let sealed = seal(&key.key, &context_of(&info), &bytes, &*self.random);
            let generation = info.generation;
            let stored = StoredCredential { info, sealed: switchboard_storage::Sealed(sealed.0) };
            let mut tx = self.db.write().await?;
            // Asked for with one address in mind, it goes to no other that an admin gave the connection meanwhile.
            let now = tx.connections().find(connection.organization, connection.id).await?;
            if !now.is_some_and(|now| now.url == connection.url && now.auth_type == connection.auth_type) {
                return Err(CredentialError::Missing);
            }
            if tx.credentials().put(&stored).await? == PutCredential::Stored {
                tx.commit().await?;
                return Ok(generation);
            }
        }
        Err(CredentialError::Unreadable)
    }
}

impl Broker {
    /// Stores a credential in place of an older one; calls use it from now on.
    pub async fn put_credential(
        &self,
        organization: OrganizationId,
        connection: ConnectionId,
        owner: CredentialOwner,
        secret: NewSecret,
    ) -> Result<(), CredentialError> {
        let found = self.db().single().await?.connections().find(organization, connection).await?;
        let found = found.ok_or(CredentialError::Missing)?;
        self.credentials().put(&found, owner, &secret).await?;
        self.refresh_snapshots().await?;
        Ok(())
    }

    /// Stores tokens that a provider issued to this owner, in place of older ones; calls use them from now on.
    ///
    /// Whoever calls has checked that the person who signed in at the provider is the owner, or for a shared
    /// credential an admin; this is where the two meet, not where it is decided.
    pub async fn store_tokens(
        &self,
        connection: &Connection,
        owner: CredentialOwner,
        tokens: UpstreamTokens,
    ) -> Result<(), CredentialError> {
        self.credentials().put_tokens(connection, owner, &tokens).await?;
        self.refresh_snapshots().await?;
        Ok(())
    }
}
