//! Identity providers, who is known to them, and sign-ins under way.

use switchboard_domain::{IdentityId, IdentityProviderId, MemberId, OrganizationId, Role};
use switchboard_storage::{
    CredentialHealth, Identity, IdentityProvider, Sealed, SealedWith, SignIn, SignInPurpose,
};
use switchboard_testkit::{database::TestDatabase, on_both};

use crate::{at, tenancy::data_key};

async fn provider(database: &TestDatabase, organization: OrganizationId) -> IdentityProvider {
    let provider = IdentityProvider {
        id: IdentityProviderId::new(&database.clock, &database.random),
        organization,
        slug: "company".parse().unwrap(),
        name: "Company".into(),
        issuer: "https://login.example.com/".into(),
        client_id: "client".into(),
        enabled: true,
        settings: serde_json::json!({ "scopes": ["openid"] }),
        secret: None,
        secret_version: 1,
        created_at: at(0),
        updated_at: at(0),
        revision: 1,
    };
    let mut tx = database.db.write().await.unwrap();
    assert!(tx.identity_providers().insert(&provider).await.unwrap());
    tx.commit().await.unwrap();
    provider
}

fn identity(database: &TestDatabase, provider: &IdentityProvider, member: MemberId) -> Identity {
    Identity {
        id: IdentityId::new(&database.clock, &database.random),
        organization: provider.organization,
        member,
        provider: provider.id,
        issuer: provider.issuer.clone(),
        subject: "subject".into(),
        email: Some("ada@one.example".into()),
        created_at: at(0),
        last_sign_in_at: at(0),
        generation: 1,
        health: CredentialHealth::Healthy,
        expires_at: Some(at(60)),
        tokens: None,
    }
}

on_both! {
    async fn a_provider_is_edited_by_who_read_it_last(database) {
        let one = database.organization("one").await;
        let provider = provider(&database, one.id).await;
        let mut tx = database.db.write().await.unwrap();
        assert!(!tx.identity_providers().insert(&provider).await.unwrap(), "the slug is taken");
        tx.commit().await.unwrap();
        let mut edited = provider.clone();
        edited.name = "Other".into();
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.identity_providers().update(&edited).await.unwrap());
        assert!(!tx.identity_providers().update(&edited).await.unwrap(), "it was read before");
        tx.commit().await.unwrap();
        let mut tx = database.db.read().await.unwrap();
        let found = tx.identity_providers().find_by_slug(one.id, &provider.slug).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.revision), ("Other", 2));
    }

    async fn one_organization_sees_nothing_of_the_others(database) {
        let (one, other) = (database.organization("one").await, database.organization("other").await);
        let ada = database.member(one.id, "ada@one.example", Role::Owner).await;
        let provider = provider(&database, one.id).await;
        let identity = identity(&database, &provider, ada.id);
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.identities().insert(&identity).await.unwrap());
        tx.commit().await.unwrap();
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.identity_providers().find(other.id, provider.id).await.unwrap().is_none());
        assert!(tx.identity_providers().find_by_slug(other.id, &provider.slug).await.unwrap().is_none());
        assert!(tx.identity_providers().list(other.id).await.unwrap().is_empty());
        assert!(tx.identities().find(other.id, &identity.issuer, &identity.subject).await.unwrap().is_none());
        assert!(tx.identities().of_member(other.id, ada.id).await.unwrap().is_empty());
        assert!(!tx.identities().delete(other.id, ada.id, identity.id).await.unwrap());
        assert!(!tx.identity_providers().delete(other.id, provider.id).await.unwrap());
        let foreign = Identity { organization: other.id, subject: "x".into(), ..identity };
        assert!(tx.identities().insert(&foreign).await.is_err(), "a member of another");
    }

    async fn tokens_are_replaced_by_who_read_them_last(database) {
        let one = database.organization("one").await;
        let ada = database.member(one.id, "ada@one.example", Role::Owner).await;
        let key = data_key(&database, one.id).await;
        let provider = provider(&database, one.id).await;
        let first = identity(&database, &provider, ada.id);
        let sealed = |byte| Some(SealedWith { data_key: key, sealed: Sealed(vec![byte; 40]) });
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.identities().insert(&first).await.unwrap());
        let again = Identity { id: IdentityId::new(&database.clock, &database.random), ..first.clone() };
        assert!(!tx.identities().insert(&again).await.unwrap(), "issuer and subject are somebody's");
        let second = Identity { generation: 2, tokens: sealed(2), ..first.clone() };
        assert!(tx.identities().refreshed(&second).await.unwrap());
        assert!(!tx.identities().refreshed(&second).await.unwrap(), "somebody was first");
        assert!(!tx.identities().signed_in(&second).await.unwrap(), "somebody was first");
        assert!(!tx.identities().set_health(&first, CredentialHealth::ReauthRequired).await.unwrap(), "of an older one");
        assert!(tx.identities().set_health(&second, CredentialHealth::ReauthRequired).await.unwrap());
        let third = Identity { generation: 3, tokens: sealed(3), last_sign_in_at: at(9), ..first.clone() };
        assert!(tx.identities().signed_in(&third).await.unwrap());
        tx.end_access(one.id, ada.id, at(10)).await.unwrap();
        let left = tx.identities().find(one.id, &first.issuer, &first.subject).await.unwrap().unwrap();
        assert_eq!((left.generation, left.tokens, left.health), (4, None, CredentialHealth::ReauthRequired));
        assert!(tx.identity_providers().delete(one.id, provider.id).await.unwrap());
        assert!(tx.identities().of_member(one.id, ada.id).await.unwrap().is_empty(), "identities go with it");
        tx.commit().await.unwrap();
    }

    async fn a_sign_in_is_taken_once(database) {
        let (one, other) = (database.organization("one").await, database.organization("other").await);
        let provider = provider(&database, one.id).await;
        let sign_in = SignIn {
            organization: one.id,
            provider: provider.id,
            provider_revision: 1,
            state_hash: [1; 32],
            browser_hash: [2; 32],
            purpose: SignInPurpose::SignIn,
            session: None,
            return_to: "/".into(),
            invitation_hash: Some([3; 32]),
            created_at: at(0),
            expires_at: at(600),
        };
        let late = SignIn { state_hash: [4; 32], invitation_hash: None, expires_at: at(1), ..sign_in.clone() };
        let mut tx = database.db.write().await.unwrap();
        tx.sign_ins().insert(&sign_in).await.unwrap();
        tx.sign_ins().insert(&late).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.sign_ins().take(other.id, provider.id, &[1; 32]).await.unwrap().is_none());
        let elsewhere = IdentityProviderId::new(&database.clock, &database.random);
        assert!(tx.sign_ins().take(one.id, elsewhere, &[1; 32]).await.unwrap().is_none(), "of another provider");
        assert_eq!(tx.sign_ins().forget_expired(one.id, at(60)).await.unwrap(), 1);
        assert_eq!(tx.sign_ins().take(one.id, provider.id, &[1; 32]).await.unwrap(), Some(sign_in));
        assert_eq!(tx.sign_ins().take(one.id, provider.id, &[1; 32]).await.unwrap(), None);
        tx.commit().await.unwrap();
    }
}
