//! The vectors of `testdata/security` that concern an identity provider: its metadata, and what its token endpoint says
//! beside an ID token that is in order.

use std::{fs, path::Path};

use serde_json::{Value, json};
use switchboard_testkit::{
    identity_provider::{ProviderScript, ScriptedProvider},
    on_both,
};

use crate::{
    identity::{BUTTON, press, set_up, start},
    support::api,
};

const VENDOR: &str = "https://auth.vendor.example.com";

fn vectors(kind: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/security");
    let files = ["bad_oauth_metadata.jsonl", "good_oauth_metadata.jsonl"];
    let texts = files.map(|file| fs::read_to_string(folder.join(file)).unwrap());
    let lines = texts.iter().flat_map(|text| text.split('\n')).filter(|line| !line.is_empty());
    let all = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|vector| vector["kind"] == kind).collect()
}

/// Every member of `whole` that the document leaves out is taken away.
fn instead_of(whole: &[&str], document: &Value) -> Value {
    let mut changes = json!({});
    for name in whole {
        changes[*name] = Value::Null;
    }
    for (name, value) in document.as_object().unwrap() {
        changes[name] = value.clone();
    }
    changes
}

on_both! {
    async fn bad_metadata_makes_no_provider(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        let members = [
            "issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri",
            "id_token_signing_alg_values_supported", "response_types_supported", "subject_types_supported",
        ];
        let bad: Vec<_> = vectors("oidc").into_iter().filter(|vector| vector["expect"] == "refuse").collect();
        assert_eq!(bad.len(), 4);
        // The last one names a private address, which this Switchboard was allowed; `identity_hostile` names one that
        // nobody can allow.
        for vector in bad.iter().filter(|vector| vector["id"] != "oauth-d053") {
            let expected = vector["ctx"]["expected_issuer"].as_str().unwrap();
            // The vendor is played by our own provider: its realm, and its host.
            let text = vector["document"].to_string().replace(expected, provider.issuer());
            let document: Value = serde_json::from_str(&text.replace(VENDOR, provider.issuer())).unwrap();
            provider.says(ProviderScript { metadata: instead_of(&members, &document), ..ProviderScript::default() });
            let new = json!({ "slug": "company", "name": "x", "issuer": provider.issuer(), "client_id": "x" });
            let refused = api(&app, "POST", "/identity-providers", Some(new)).await;
            assert_eq!(refused.status.as_u16(), 422, "{}: {}", vector["id"], refused.text());
        }
        app.stop().await;
    }

    async fn token_responses_are_read_as_the_vectors_say(database) {
        let (app, provider) = (start(&database).await, ScriptedProvider::start().await);
        set_up(&app, &provider, json!({})).await;
        let (mut taken, mut refused) = (0, 0);
        for vector in vectors("token_response") {
            let claims = json!({ "sub": "mia", "email": "mia@example.test", "email_verified": true });
            let mut script = ProviderScript { claims, ..ProviderScript::default() };
            let status = vector["status"].as_u64().unwrap_or(200);
            let kind = if vector["headers"]["content-type"] == "text/html" { "text/html" } else { "application/json" };
            match (vector["document_raw"].as_str(), vector["document_gen"]["bytes"].as_u64()) {
                (Some(raw), _) => script.token_answer = Some((u16::try_from(status).unwrap(), kind, raw.to_owned())),
                (None, Some(bytes)) => {
                    script.tokens = json!({ "access_token": "a".repeat(usize::try_from(bytes).unwrap()) });
                }
                (None, None) => {
                    let members = ["access_token", "token_type", "expires_in", "refresh_token"];
                    script.tokens = instead_of(&members, &vector["document"]);
                }
            }
            provider.says(script);
            let browser = app.browser();
            let answer = press(&browser, &provider, BUTTON).await;
            let is_in = browser.cookie("switchboard").is_some();
            assert_eq!(is_in, answer.status.as_u16() == 303, "{}", vector["id"]);
            let wanted = vector["expect"] == "accept";
            let either = vector["expect"] == "refuse_or_safe_default";
            assert!(is_in == wanted || either, "{}: {}", vector["id"], answer.status);
            if is_in { taken += 1 } else { refused += 1 }
        }
        assert!(taken >= 4 && refused >= 10, "{taken} taken, {refused} refused");
        app.stop().await;
    }
}
