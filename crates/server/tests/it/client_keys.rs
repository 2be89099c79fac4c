//! Clients of ours that prove themselves at a provider with a private key (`private_key_jwt`), each way to become known.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use switchboard_broker::connect::{Authentication, ConnectSettings, OperatorClient};
use switchboard_domain::{AssertionAudience, ConnectionStatus, SecretValue};
use switchboard_testkit::{
    app::{App, AppOptions},
    client_assertion::verified_assertion,
    on_both,
    upstream::{ProtectedUpstream, Says},
};

use crate::{
    connect::{Person, api, id_of},
    support::READ_WRITE,
};

/// Signs in, and says with which claims the client proved itself.
async fn proven(
    app: &App,
    owner: &Person,
    (upstream, connection): (&ProtectedUpstream, &Value),
    key: &Value,
) -> Value {
    let started = owner.start(app, connection).await;
    assert_eq!(started.status.as_u16(), 201, "{}", started.text());
    let started = started.json();
    let back = owner.agree(app, &started).await;
    owner.browser.get(&back).await;
    let became = owner.became(app, &started).await;
    assert_eq!(became["status"], "connected", "{became}");
    let asked = upstream.requests("/token").pop().unwrap();
    assert_eq!((&asked.authorization, asked.parameters.get("client_secret")), (&None, None), "{asked:?}");
    verified_assertion(key, &asked.parameters)
}

async fn edit(app: &App, owner: &Person, connection: &Value, oauth: Value) -> Value {
    let path = format!("/connections/{}", connection["id"].as_str().unwrap());
    let edited = api(app, &owner.token, Method::PATCH, &path, Some(json!({ "oauth": oauth }))).await;
    assert_eq!(edited.status.as_u16(), 200, "{}", edited.text());
    edited.json()
}

on_both! {
    async fn a_client_made_at_the_provider_signs_in_with_a_key_made_here(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        upstream.add_client("ours", None);
        upstream.add_client("other", None);
        let owner = Person::owner(&app).await;
        let oauth = json!({ "registration": "static", "client_id": "ours", "token_endpoint_auth_method": "private_key_jwt" });
        let connection = owner.add(&app, "vendor", &upstream, json!({ "oauth": oauth })).await;
        let key = &connection["oauth"]["public_key"];
        assert_eq!((&key["alg"], &key["d"]), (&json!("ES256"), &Value::Null), "{connection}");
        let claims = proven(&app, &owner, (&upstream, &connection), key).await;
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("ours"), &json!(upstream.origin())));
        app.wait_for_status(id_of(&connection), ConnectionStatus::Connected).await;

        let kept = edit(&app, &owner, &connection, json!({ "assertion_audience": "token_endpoint" })).await;
        assert_eq!(&kept["oauth"]["public_key"], key);
        let claims = proven(&app, &owner, (&upstream, &connection), key).await;
        assert_eq!(claims["aud"], format!("{}/token", upstream.origin()));
        for change in [json!({ "private_key": null }), json!({ "client_id": "other" })] {
            let renewed = edit(&app, &owner, &connection, change).await;
            assert_ne!(&renewed["oauth"]["public_key"], key, "a key belongs to one client");
            proven(&app, &owner, (&upstream, &connection), &renewed["oauth"]["public_key"]).await;
        }
        let secret = edit(&app, &owner, &connection, json!({ "client_secret": "a-secret-of-theirs" })).await["oauth"].clone();
        assert_eq!((&secret["public_key"], &secret["has_client_secret"]), (&Value::Null, &json!(true)), "{secret}");
        assert_eq!(secret["token_endpoint_auth_method"], Value::Null, "{secret}");
        let address = format!("/oauth/client-jwks/{}.json", connection["id"].as_str().unwrap());
        assert_eq!(app.browser().get(&address).await.status, 404);
        app.stop().await;
    }

    async fn tokens_are_renewed_and_revoked_with_the_secret_of_today(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        upstream.metadata(json!({ "revocation_endpoint": format!("{}/revoke", upstream.origin()) }));
        upstream.says("/revoke", Says::status(200));
        upstream.add_client("ours", Some("the-first"));
        let owner = Person::owner(&app).await;
        let oauth = json!({ "registration": "static", "client_id": "ours", "client_secret": "the-first" });
        let connection = owner.add(&app, "vendor", &upstream, json!({ "oauth": oauth })).await;
        app.grant_everyone(id_of(&connection)).await;
        let sign_in = async || {
            upstream.says_as_usual("/mcp");
            upstream.says_as_usual("/token");
            let started = owner.start(&app, &connection).await.json();
            let back = owner.agree(&app, &started).await;
            owner.browser.get(&back).await;
            let became = owner.became(&app, &started).await;
            assert_eq!(became["status"], "connected", "{became}");
            app.wait_for_status(id_of(&connection), ConnectionStatus::Connected).await;
        };
        let change = async |oauth: Value| -> Value {
            let edited = edit(&app, &owner, &connection, oauth).await;
            app.broker.refresh_snapshots().await.unwrap();
            edited
        };
        let client = app.client(&app.token(app.owner, &READ_WRITE).await);
        // A token that the server no longer takes is renewed; what was asked for that.
        let renewed = async || {
            let next = json!({ "access_token": "next", "token_type": "bearer", "expires_in": 3600 });
            upstream.says("/token", Says::json(&next));
            let refused = Says::status(401).with_header("www-authenticate", "Bearer error=\"invalid_token\"");
            upstream.says("/mcp", refused);
            client.execute("vendor.echo", json!({ "text": "x" })).await;
            let asked = upstream.requests("/token").pop().unwrap();
            assert_eq!(asked.parameters["grant_type"], "refresh_token");
            asked
        };
        let basic = |secret: &str| Some(format!("Basic {}", STANDARD.encode(format!("ours:{secret}"))));
        sign_in().await;
        change(json!({ "client_secret": "the-second" })).await;
        assert_eq!(renewed().await.authorization, basic("the-second"));
        // By key: of the same client, which proves itself otherwise from now on.
        sign_in().await;
        let by_key = json!({ "client_secret": null, "token_endpoint_auth_method": "private_key_jwt" });
        let keyed = change(by_key).await;
        let asked = renewed().await;
        assert_eq!(asked.authorization, None);
        verified_assertion(&keyed["oauth"]["public_key"], &asked.parameters);
        upstream.add_client("ours", None);
        sign_in().await;
        change(json!({ "token_endpoint_auth_method": null, "client_secret": "the-third" })).await;
        let path = format!("/connections/{}/credential", connection["id"].as_str().unwrap());
        let gone = api(&app, &owner.token, Method::DELETE, &path, None).await;
        assert!(gone.status.is_success(), "{}", gone.text());
        let told = upstream.requests("/revoke").pop().unwrap();
        assert_eq!(told.authorization, basic("the-third"), "{told:?}");
        app.stop().await;
    }

    async fn tokens_of_another_client_than_the_connections_are_not_renewed(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        upstream.add_client("ours", Some("a-secret"));
        let owner = Person::owner(&app).await;
        let oauth = json!({ "registration": "static", "client_id": "ours", "client_secret": "a-secret" });
        let connection = owner.add(&app, "vendor", &upstream, json!({ "oauth": oauth })).await;
        app.grant_everyone(id_of(&connection)).await;
        let started = owner.start(&app, &connection).await.json();
        let back = owner.agree(&app, &started).await;
        owner.browser.get(&back).await;
        app.wait_for_status(id_of(&connection), ConnectionStatus::Connected).await;
        edit(&app, &owner, &connection, json!({ "client_id": "another", "client_secret": "b-secret" })).await;
        app.broker.refresh_snapshots().await.unwrap();
        let asked = upstream.requests("/token").len();
        upstream.says("/mcp", Says::status(401).with_header("www-authenticate", "Bearer error=\"invalid_token\""));
        let client = app.client(&app.token(app.owner, &READ_WRITE).await);
        let refused = client.execute("vendor.echo", json!({ "text": "x" })).await;
        assert_eq!(refused["structuredContent"]["code"], "reauth_required", "{refused}");
        assert_eq!(upstream.requests("/token").len(), asked, "neither client's secret went out for them");
        app.stop().await;
    }

    async fn an_operators_client_proves_itself_with_its_key(database) {
        let upstream = ProtectedUpstream::start().await;
        upstream.add_client("of-the-operator", None);
        let key = switchboard_vault::ClientKey::generate().unwrap();
        let public = json!(switchboard_vault::ClientKey::read(key.as_str()).unwrap().public());
        let client = OperatorClient {
            name: "vendors".parse().unwrap(),
            issuer: upstream.origin().to_owned(),
            hosts: vec!["127.0.0.1".parse().unwrap()],
            client_id: "of-the-operator".into(),
            client_secret: Some(SecretValue::new(key.as_str())),
            authentication: Some(Authentication::PrivateKeyJwt),
            assertion_audience: AssertionAudience::Issuer,
        };
        let connect = ConnectSettings { clients: vec![client], ..ConnectSettings::default() };
        let app = App::start_with(database.db.clone(), AppOptions { connect, ..AppOptions::default() }).await;
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({})).await;
        let claims = proven(&app, &owner, (&upstream, &connection), &public).await;
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("of-the-operator"), &json!(upstream.origin())));
        app.stop().await;
    }

    async fn a_registration_brings_a_key_where_the_provider_wants_one(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        upstream.metadata(json!({
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256"],
        }));
        let owner = Person::owner(&app).await;
        let connection = owner.add(&app, "vendor", &upstream, json!({})).await;
        let started = owner.start(&app, &connection).await;
        assert_eq!(started.status.as_u16(), 201, "{}", started.text());
        let asked = upstream.requests("/register").pop().unwrap().body;
        assert_eq!(asked["token_endpoint_auth_method"], "private_key_jwt", "{asked}");
        let key = &asked["jwks"]["keys"][0];
        assert_eq!(key["d"], Value::Null, "{asked}");
        let claims = proven(&app, &owner, (&upstream, &connection), key).await;
        assert_eq!(claims["aud"], upstream.origin());
        assert_eq!(upstream.requests("/register").len(), 1, "it is used again");
        app.stop().await;
    }

    async fn our_document_names_the_key_that_an_admin_wanted_for_it(database) {
        let upstream = ProtectedUpstream::start().await;
        let address = "https://switchboard.example/clients/{connection_id}.json";
        let connect = ConnectSettings { client_metadata_url: Some(address.into()), ..ConnectSettings::default() };
        let app = App::start_with(database.db.clone(), AppOptions { connect, ..AppOptions::default() }).await;
        upstream.metadata(json!({
            "client_id_metadata_document_supported": true,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        }));
        let owner = Person::owner(&app).await;
        let oauth = json!({ "registration": "client_metadata", "token_endpoint_auth_method": "private_key_jwt" });
        let connection = owner.add(&app, "vendor", &upstream, json!({ "oauth": oauth })).await;
        let id = connection["id"].as_str().unwrap();
        let document = app.browser().get(&format!("/oauth/client-metadata/{id}.json")).await.json();
        assert_eq!(document["token_endpoint_auth_method"], "private_key_jwt", "{document}");
        let keys = app.browser().get(document["jwks_uri"].as_str().unwrap()).await.json();
        let claims = proven(&app, &owner, (&upstream, &connection), &keys["keys"][0]).await;
        assert_eq!(claims["iss"], address.replace("{connection_id}", id));
        let plain = edit(&app, &owner, &connection, json!({ "token_endpoint_auth_method": null })).await;
        assert_eq!(plain["oauth"]["public_key"], Value::Null);
        let document = app.browser().get(&format!("/oauth/client-metadata/{id}.json")).await.json();
        assert_eq!((&document["token_endpoint_auth_method"], &document["jwks_uri"]), (&json!("none"), &Value::Null));
        app.stop().await;
    }

    async fn a_key_that_a_provider_does_not_take_is_said_to_be_the_wrong_one(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ProtectedUpstream::start().await;
        upstream.metadata(json!({ "token_endpoint_auth_signing_alg_values_supported": ["RS256"] }));
        let owner = Person::owner(&app).await;
        let oauth = json!({ "registration": "static", "client_id": "ours", "token_endpoint_auth_method": "private_key_jwt" });
        let connection = owner.add(&app, "vendor", &upstream, json!({ "oauth": oauth })).await;
        let refused = owner.start(&app, &connection).await;
        assert_eq!(refused.json()["code"], "client_key_not_taken", "{}", refused.text());
        assert!(refused.json()["detail"].as_str().unwrap().contains("ES256"), "{}", refused.text());
        for (oauth, path) in [
            (json!({ "token_endpoint_auth_method": "private_key_jwt" }), "oauth.token_endpoint_auth_method"),
            (json!({ "registration": "static", "client_id": "x", "private_key": "x" }), "oauth.private_key"),
            (json!({ "registration": "static", "client_id": "x", "private_key": "x", "client_secret": "y" }), "oauth.private_key"),
            (json!({ "registration": "static", "client_id": "x", "client_secret": "y", "token_endpoint_auth_method": "private_key_jwt" }), "oauth.client_secret"),
        ] {
            let new = json!({ "slug": "bad", "url": upstream.url(), "auth_type": "oauth", "oauth": oauth });
            let refused = api(&app, &owner.token, Method::POST, "/connections", Some(new)).await;
            assert_eq!(refused.json()["violations"][0]["path"], path, "{}", refused.text());
        }
        app.stop().await;
    }
}
