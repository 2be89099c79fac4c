//! Everything that is sealed, made by what makes it in real life, opens where a rotation of keys looks for it.

use http::Method;
use serde_json::json;
use switchboard_broker::{KeptForm, sealed_context};
use switchboard_domain::{DataKeyId, Role, Scope, SecretValue, SystemRandom};
use switchboard_storage::{KeyState, PolicyLayer, SealedColumn, SealedWith};
use switchboard_testkit::{
    identity_provider::{ProviderScript, ScriptedProvider},
    on_both,
    upstream::{ProtectedUpstream, ReferenceUpstream, Says},
};
use switchboard_vault::{DataKey, WrappedKey, open, reseal};

use crate::{
    connect::{Person, api, id_of},
    identity::{BUTTON, press, set_up, start},
    oauth,
};

on_both! {
    async fn everything_that_is_sealed_opens_where_a_rotation_looks_for_it(database) {
        let app = start(&database).await;
        let organization = app.organization;
        // The secret of an identity provider, and somebody's tokens of it.
        let provider = ScriptedProvider::start().await;
        set_up(&app, &provider, json!({})).await;
        for name in ["kai", "zoe"] {
            let email = format!("{name}@example.test");
            provider.knows(json!({ "sub": name, "email": email, "email_verified": true }));
            press(&app.browser(), &provider, BUTTON).await;
        }
        // A client that we registered, tokens, tokens to revoke, a verifier, a key to sign with.
        let upstream = ProtectedUpstream::start().await;
        upstream.metadata(json!({ "revocation_endpoint": format!("{}/revoke", upstream.origin()) }));
        let owner = Person::owner(&app).await;
        // Tokens of somebody who left, and a provider that can't be told of it.
        provider.says(ProviderScript { revocation: 503, ..ProviderScript::default() });
        let mut tx = app.db.read().await.unwrap();
        let zoe = tx.members().find_by_email(organization, "zoe@example.test").await.unwrap().unwrap().id;
        drop(tx);
        let suspended = Some(json!({ "status": "suspended" }));
        let left = api(&app, &owner.token, Method::PATCH, &format!("/members/{zoe}"), suspended).await;
        assert_eq!(left.status.as_u16(), 200, "{}", left.text());
        // The secret that a webhook is signed with.
        let webhook = json!({ "name": "ours", "url": "https://hooks.example.com/x", "events": ["audit.entries"] });
        let made = api(&app, &owner.token, Method::POST, "/webhooks", Some(webhook)).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text());
        let one = owner.add(&app, "one", &upstream, json!({ "send_identity": true })).await;
        for _ in 0..2 {
            let started = owner.start(&app, &one).await.json();
            let back = owner.agree(&app, &started).await;
            owner.browser.get(&back).await;
            assert_eq!(owner.became(&app, &started).await["status"], "connected");
            upstream.says("/revoke", Says::status(503));
            let path = format!("/connections/{}/credential", id_of(&one));
            let taken = api(&app, &owner.token, Method::DELETE, &path, None).await.json();
            assert_eq!(taken["provider"]["pending"], 1, "{taken}");
        }
        let started = owner.start(&app, &one).await.json();
        let back = owner.agree(&app, &started).await;
        owner.browser.get(&back).await;
        let pending = owner.start(&app, &one).await.json();
        owner.agree(&app, &pending).await;
        // A refresh token whose successor waits for a client that may ask again.
        app.member_with_password(oauth::EMAIL, Role::Member).await;
        let browser = app.signed_in(oauth::EMAIL).await;
        let client = oauth::public_client(&app).await;
        let more = [("scope", "mcp:read offline_access")];
        let code = oauth::code(&browser, &oauth::request(&client, &more)).await;
        let tokens = oauth::exchange(&app, &client, &code, &[]).await;
        let refreshed = oauth::refresh(&app, &client, &oauth::field(&tokens, "refresh_token")).await;
        assert_eq!(refreshed.status.as_u16(), 200, "{}", refreshed.text());
        // What questions to a guardrail are signed with.
        let guardrail = json!({ "url": "http://127.0.0.1:8081/guard", "on_failure": "open" });
        let put = api(&app, &owner.token, Method::PUT, "/guardrail", Some(guardrail)).await;
        assert_eq!(put.status.as_u16(), 200, "{}", put.text());
        // A form that waits for its sender.
        let form = KeptForm { action: "/x".into(), fields: vec![("key".into(), SecretValue::new("k"))] };
        app.broker.keep_form((organization, app.owner), &form).await.unwrap();
        // A call that waits for a person.
        let demo = ReferenceUpstream::start().await;
        app.connect("demo", &demo.url()).await;
        let rules = json!([{ "pattern": "demo.echo", "action": "require_approval" }]);
        let mut tx = app.db.write().await.unwrap();
        let now = switchboard_domain::Timestamp::from_micros(1);
        tx.policies().put(organization, PolicyLayer::Organization, &rules, 0, now).await.unwrap();
        tx.commit().await.unwrap();
        app.broker.refresh_snapshots().await.unwrap();
        let agent = app.client(&app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        let held = agent.execute("demo.echo", json!({ "text": "x" })).await;
        assert_eq!(held["structuredContent"]["code"], "approval_required", "{held}");

        let mut tx = app.db.read().await.unwrap();
        let keys: Vec<(DataKeyId, DataKey)> = tx
            .keys()
            .data_keys(organization)
            .await
            .unwrap()
            .into_iter()
            .map(|key| {
                let wrapped = WrappedKey { kek_id: key.key_encryption_key, bytes: key.wrapped.0 };
                (key.id, app.keyring.unwrap(&wrapped, organization, key.id).unwrap())
            })
            .collect();
        let nobody = DataKeyId::new(app.broker.clock(), &SystemRandom);
        for column in SealedColumn::ALL {
            let rows = tx.sealed().not_with(column, organization, nobody, (None, 100)).await.unwrap();
            assert!(!rows.is_empty(), "nothing in {} to look at", column.table());
            assert_eq!(tx.sealed().count(column, organization).await.unwrap(), rows.len() as u64);
            for row in rows {
                let (_, key) = keys.iter().find(|(id, _)| *id == row.value.data_key).unwrap();
                let opened = open(key, &sealed_context(organization, column, &row), &row.value.sealed);
                assert!(opened.is_ok(), "{} does not open: {:?}", column.table(), opened.err());
            }
        }
        drop(tx);
        // And again after a rotation went through it.
        let (new, new_key) = (DataKeyId::new(app.broker.clock(), &SystemRandom), DataKey::generate(&SystemRandom));
        let wrapped = app.keyring.wrap(&new_key, organization, new, &SystemRandom);
        let row = switchboard_storage::DataKey {
            id: new,
            organization,
            key_encryption_key: wrapped.kek_id,
            wrapped: switchboard_storage::Sealed(wrapped.bytes),
            state: KeyState::Retired,
            created_at: app.broker.clock().now(),
        };
        let mut tx = app.db.write().await.unwrap();
        tx.keys().insert_data_key(&row).await.unwrap();
        for column in SealedColumn::ALL {
            let rows = tx.sealed().not_with(column, organization, new, (None, 100)).await.unwrap();
            for row in &rows {
                let (_, old) = keys.iter().find(|(id, _)| *id == row.value.data_key).unwrap();
                let context = sealed_context(organization, column, row);
                let sealed = reseal(old, &new_key, &context, &row.value.sealed, &SystemRandom).unwrap();
                let with = SealedWith { data_key: new, sealed };
                assert!(tx.sealed().swap(column, organization, row, &with).await.unwrap(), "{}", column.table());
            }
            assert!(tx.sealed().not_with(column, organization, new, (None, 100)).await.unwrap().is_empty());
            let after = tx.sealed().not_with(column, organization, nobody, (None, 100)).await.unwrap();
            assert_eq!(after.len(), rows.len(), "{}", column.table());
            for row in &after {
                let context = sealed_context(organization, column, row);
                assert!(open(&new_key, &context, &row.value.sealed).is_ok(), "{}", column.table());
            }
        }
        tx.commit().await.unwrap();
        app.stop().await;
    }
}
