//! What is taken away here ends at the provider too.

use std::time::Duration;

use serde_json::json;
use switchboard_domain::{ConnectionId, CredentialOwner, DataKeyId, Role, SystemRandom};
use switchboard_storage::{AuditFilter, SealedColumn, StoredCredential};
use switchboard_testkit::{app::App, on_both, upstream::ProviderAnswer};

use super::rest::{Expect as _, Rest};
use crate::upstream_tokens::World;

async fn pending(app: &App) -> usize {
    let later = app.broker.clock().now().plus(Duration::from_secs(1_000_000));
    app.db.single().await.unwrap().revocations().due(app.organization, later, 10).await.unwrap().len()
}

async fn until_revoked(world: &World, tokens: usize) {
    for _ in 0..400 {
        if world.provider.revoked().len() >= tokens && pending(&world.apps[0]).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?} were revoked", world.provider.revoked());
}

async fn stored(app: &App, id: ConnectionId, owner: CredentialOwner) -> Option<StoredCredential> {
    app.db.single().await.unwrap().credentials().find(app.organization, id, owner).await.unwrap()
}

async fn actions(app: &App) -> Vec<String> {
    let mut tx = app.db.single().await.unwrap();
    let entries = tx.audit().page(app.organization, &AuditFilter::default(), 100).await.unwrap();
    entries.into_iter().map(|entry| entry.action).collect()
}

on_both! {
    async fn taking_a_credential_away_revokes_it_at_the_provider(database) {
        let world = World::start(&database.db, 1).await;
        let app = &world.apps[0];
        let owner = Rest::owner(app).await;
        let (ana, _) = Rest::member(app, "ana", Role::Member).await;
        let path = format!("/connections/{}", world.id);
        ana.delete(&format!("{path}/credential")).await.refused(404, "not_found");
        ana.delete(&format!("{path}/credentials")).await.refused(404, "not_found");
        assert!(world.provider.revoked().is_empty());
        let listed = owner.get(&format!("{path}/credentials")).await.ok(200);
        assert_eq!(listed["items"][0]["health"], "healthy");
        let taken = owner.delete(&format!("{path}/credential")).await.ok(200);
        assert_eq!(taken["provider"], json!({ "confirmed": 1, "pending": 0, "unsupported": 0 }));
        let revoked = world.provider.revoked();
        assert!(revoked[0].starts_with("refresh-") && revoked[1].starts_with("access-"), "{revoked:?}");
        assert!(stored(app, world.id, CredentialOwner::Shared).await.is_none());
        assert_eq!(pending(app).await, 0);
        assert_eq!(owner.get(&path).await.ok(200)["status"], "needs_connection");
        world.stop().await;
    }

    async fn a_provider_that_is_down_hears_of_it_later(database) {
        let world = World::start(&database.db, 1).await;
        let app = &world.apps[0];
        let owner = Rest::owner(app).await;
        world.provider.answer([ProviderAnswer::HangUp, ProviderAnswer::Body(503, "down")]);
        let taken = owner.delete(&format!("/connections/{}/credentials", world.id)).await.ok(200);
        assert_eq!(taken["provider"], json!({ "confirmed": 0, "pending": 1, "unsupported": 0 }));
        assert_eq!((world.provider.revoked().len(), pending(app).await), (0, 1));
        world.clock.advance(Duration::from_secs(120));
        app.broker.revoke_due().await.unwrap();
        assert_eq!((world.provider.revoked().len(), pending(app).await), (0, 1));
        world.clock.advance(Duration::from_secs(120));
        app.broker.revoke_due().await.unwrap();
        until_revoked(&world, 2).await;
        world.stop().await;
    }

    async fn a_connection_that_goes_takes_its_tokens_with_it(database) {
        let world = World::start(&database.db, 1).await;
        let owner = Rest::owner(&world.apps[0]).await;
        let path = format!("/connections/{}", world.id);
        // Another address first: nothing that was stored may be sent there.
        owner.patch(&path, &json!({ "url": "http://127.0.0.1:4321/mcp" })).await.ok(200);
        until_revoked(&world, 2).await;
        world.sign_in().await;
        owner.delete(&path).await.ok(204);
        until_revoked(&world, 4).await;
        world.stop().await;
    }

    async fn a_member_who_goes_takes_their_tokens_with_them(database) {
        let world = World::start(&database.db, 1).await;
        let app = &world.apps[0];
        let owner = Rest::owner(app).await;
        let (_, ana) = Rest::member(app, "ana", Role::Member).await;
        world.sign_in_as(CredentialOwner::Member(ana)).await;
        owner.delete(&format!("/members/{ana}")).await.ok(204);
        until_revoked(&world, 2).await;
        assert!(stored(app, world.id, CredentialOwner::Shared).await.is_some(), "another's stay");
        world.stop().await;
    }

    async fn a_secret_that_was_moved_does_not_open_and_the_connection_says_so(database) {
        let world = World::start(&database.db, 1).await;
        let app = &world.apps[0];
        let owner = Rest::owner(app).await;
        world.sign_in_as(CredentialOwner::Member(app.owner)).await;
        // What somebody with access to the database could do.
        let mut tx = app.db.write().await.unwrap();
        let nobody = DataKeyId::new(app.broker.clock(), &SystemRandom);
        let column = SealedColumn::Credential;
        let rows = tx.sealed().not_with(column, app.organization, nobody, (None, 10)).await.unwrap();
        for (row, other) in [(&rows[0], &rows[1]), (&rows[1], &rows[0])] {
            assert!(tx.sealed().swap(column, app.organization, row, &other.value).await.unwrap());
        }
        tx.organizations().touch(app.organization).await.unwrap();
        tx.commit().await.unwrap();
        app.broker.forget_opened(world.id);
        let client = app.client(owner.token.as_deref().unwrap());
        let seen = world.upstream.log().all().len();
        let refused = client.execute("linear.echo", json!({ "text": "x" })).await;
        assert_eq!(refused["structuredContent"]["code"], "reauth_required", "{refused}");
        assert_eq!(world.upstream.log().all().len(), seen, "nothing was sent");
        while stored(app, world.id, CredentialOwner::Shared).await.unwrap().info.health
            != switchboard_storage::CredentialHealth::Unreadable
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while !actions(app).await.iter().any(|action| action == "credential.health") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        app.broker.refresh_snapshots().await.unwrap();
        assert_eq!(owner.get(&format!("/connections/{}", world.id)).await.ok(200)["status"], "reauth_required");
        world.stop().await;
    }
}
