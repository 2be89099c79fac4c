//! A member's own accounts at identity providers: which there are, which could be connected.

use serde_json::json;
use switchboard_domain::{AuditOutcome, AuditPhase, AuditRecord, IdentityId, Timestamp};

use super::{Offer, SignInError, offers};
use crate::{Broker, SignedIn, audit};

/// A connected account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnAccount {
    pub id: IdentityId,
    /// The provider's name.
    pub provider: String,
    /// As the provider last said it.
    pub email: Option<String>,
    pub last_sign_in_at: Timestamp,
}

/// What `/account/identities` and `/reauthenticate` show.
#[derive(Debug, Clone, Default)]
pub struct OwnAccounts {
    pub connected: Vec<OwnAccount>,
    /// Where the member has an account: these can say again who they are.
    pub known: Vec<Offer>,
    /// Where they have none yet.
    pub others: Vec<Offer>,
}

impl Broker {
    pub async fn own_accounts(&self, signed_in: &SignedIn) -> Result<OwnAccounts, SignInError> {
        let organization = signed_in.principal.organization;
        let mut tx = self.db().read().await?;
        let Some(found) = tx.organizations().find(organization).await? else {
            return Ok(OwnAccounts::default());
        };
        let providers = tx.identity_providers().list(organization).await?;
        let identities = tx.identities().of_member(organization, signed_in.member).await?;
        let connected = identities.iter().filter_map(|identity| {
            let provider = providers.iter().find(|it| it.id == identity.provider)?;
            Some(OwnAccount {
                id: identity.id,
                provider: provider.name.clone(),
                email: identity.email.clone(),
                last_sign_in_at: identity.last_sign_in_at,
            })
        });
        let connected = connected.collect();
        let (known, others) = providers.into_iter().partition(|provider| {
            identities.iter().any(|it| it.provider == provider.id && it.issuer == provider.issuer)
        });
        Ok(OwnAccounts { connected, known: offers(&found.slug, known), others: offers(&found.slug, others) })
    }

    /// Takes an account away from its member, by their own hand. Whoever could not come in without it keeps it.
    pub async fn disconnect_account(
        &self,
        signed_in: &SignedIn,
        id: IdentityId,
    ) -> Result<bool, SignInError> {
        let (organization, member) = (signed_in.principal.organization, signed_in.member);
        let has_password = self.has_usable_password(signed_in).await?;
        let mut tx = self.db().write().await?;
        let all = tx.identities().of_member(organization, member).await?;
        if !has_password && all.iter().all(|identity| identity.id == id) {
            return Ok(false);
        }
        if !tx.identities().delete(organization, member, id).await? {
            return Ok(false);
        }
        let record = AuditRecord {
            actor: Some(json!({ "type": "member", "id": member, "session": signed_in.session })),
            target: Some(id.to_string()),
            outcome: Some(AuditOutcome::Ok),
            ..AuditRecord::default()
        };
        let now = self.clock().now();
        let event = audit::event(organization, now, AuditPhase::Event, "identity.disconnect", record);
        self.commit_recorded(tx, event).await?;
        Ok(true)
    }
}
