//! Saying to a server for whom a call is: only where an admin asked for it, signed, and never in the way of anything else.

use serde_json::json;
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{on_both, upstream::ReferenceUpstream};

use crate::{
    identity::start,
    support::{READ_WRITE, api},
};

on_both! {
    async fn a_connection_that_asks_for_it_says_for_whom_a_call_is(database) {
        let app = start(&database).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.connect("records", &upstream.url()).await;
        let mia = app.member_with_password("mia@example.test", Role::Member).await;
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        let path = format!("/connections/{id}");
        client.execute("records.echo", json!({ "text": "unsaid" })).await;
        let silent = upstream.log().of("tools/call").pop().unwrap();
        assert!(silent.headers.iter().all(|(name, _)| !name.starts_with("switchboard-") && name != "signature"));
        assert!(silent.message["params"]["_meta"]["switchboard/call_id"].is_null(), "{}", silent.message);
        let before = app.browser().get(&format!("/oauth/jwks/{id}.json")).await;
        assert_eq!(before.status.as_u16(), 404, "no key that nobody wanted");

        let shown = api(&app, "PATCH", &path, Some(json!({ "send_identity": true }))).await.json();
        let address = shown["identity_keys_url"].as_str().unwrap().to_owned();
        let keys = app.browser().get(&address).await.json();
        let key = &keys["keys"][0];
        assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")));
        assert!(key["d"].is_null(), "only its public half");
        for _ in 0..2 {
            let done = client.execute("records.echo", json!({ "text": "said" })).await;
            assert_eq!(done["isError"], false, "{done}");
        }
        let calls = upstream.log().of("tools/call");
        let [first, second] = &calls[calls.len() - 2..] else { panic!("two calls") };
        let header = |name: &str| first.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned();
        assert_eq!(header("switchboard-member-id"), mia.to_string());
        assert_eq!(header("switchboard-organization-id"), app.organization.to_string());
        assert!(header("switchboard-session-id").starts_with("tok_"));
        let call = header("switchboard-call-id");
        assert_eq!(first.message["params"]["_meta"]["switchboard/call_id"], json!(call));
        assert_ne!(second.header("switchboard-call-id"), Some(call.as_str()));
        let input = header("signature-input");
        assert!(input.contains(&format!("keyid=\"{}\"", key["kid"].as_str().unwrap())), "{input}");
        assert!(input.contains("\"content-digest\"") && input.contains("tag=\"switchboard-identity\""), "{input}");
        assert_ne!(second.header("signature"), Some(header("signature").as_str()));
        // The call is in the audit log by that id.
        let entries = api(&app, "GET", &format!("/audit?call_id={call}"), None).await.json();
        assert_eq!(entries["items"][0]["call_id"], json!(call), "{entries}");

        // Members don't see where the key is, and a stranger's connection has none.
        let token = app.token(mia, &[Scope::Api]).await;
        let seen = app.client_at(&format!("/api/v1{path}"), Some(&token)).send(http::Method::GET, Default::default(), "").await;
        assert!(seen.json()["identity_keys_url"].is_null());
        api(&app, "DELETE", &path, None).await;
        assert_eq!(app.browser().get(&address).await.status.as_u16(), 404, "gone with the connection");
        app.stop().await;
    }
}
