//! Personal access tokens, made by the operator for a member.

use std::time::Duration;

use serde_json::json;
use switchboard_domain::{Caller, Resource, Scopes, SecretValue, Timestamp, TokenId};
use switchboard_storage::{MemberStatus, Organization, StoredToken, TokenKind};
use switchboard_vault::issue;

use super::{Operator, audit::Change, people::find_member};
use crate::failure::Failure;

pub(crate) struct NewToken {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) scopes: Scopes,
    /// The one resource it is for; none: the whole organization.
    pub(crate) resource: Option<Resource>,
    pub(crate) lifetime: Option<Duration>,
}

/// Shown once.
pub(crate) struct TokenMade {
    pub(crate) id: TokenId,
    pub(crate) secret: SecretValue,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Operator {
    pub(crate) async fn create_token(
        &self,
        organization: &Organization,
        new: &NewToken,
    ) -> Result<TokenMade, Failure> {
        let issued = issue(switchboard_vault::TokenKind::Personal, &*self.random);
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let member = find_member(&mut tx, organization, &new.email).await?;
        if member.status != MemberStatus::Active {
            return Err(Failure::failed(format!("{} is suspended and can't have tokens.", member.email)));
        }
        let stored = StoredToken {
            id: TokenId::new(&*self.clock, &*self.random),
            organization: organization.id,
            kind: TokenKind::Personal,
            caller: Caller::Member(member.id),
            name: new.name.clone(),
            hash: *issued.hash.as_bytes(),
            prefix: issued.prefix,
            last_four: issued.last_four,
            scopes: new.scopes,
            resource: new.resource.as_ref().map(Resource::path),
            expires_at: new.lifetime.map(|lifetime| now.plus(lifetime)),
            last_used_at: None,
            revoked_at: None,
            grant: None,
            created_at: now,
        };
        tx.tokens().insert(&stored).await?;
        let change = Change {
            organization: organization.id,
            action: "token.create",
            target: stored.id.to_string(),
            details: json!({
                "name": stored.name,
                "member": member.id.to_string(),
                "scopes": stored.scopes,
                "resource": stored.resource,
                "expires_at": stored.expires_at,
            }),
        };
        self.record(&mut tx, change).await?;
        tx.commit().await?;
        Ok(TokenMade { id: stored.id, secret: issued.secret, expires_at: stored.expires_at })
    }
}
