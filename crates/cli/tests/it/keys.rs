//! Keys are rotated while a server runs, and what they open stays open.

use switchboard_testkit::identity_provider::{CLIENT_ID, ScriptedProvider};

use crate::program::Place;

#[test]
fn a_running_server_goes_on_through_a_rotation() {
    for place in Place::each() {
        let server = place.serve(&[]);
        place.create_owner();
        let token = place.create_token("mcp:read,api");
        server.client(&place, &token, &["search", ""]).ok();
        let before = place.run(&["keys", "list", "--json"]).json()["items"][0]["id"].clone();
        assert_eq!(place.run(&["keys", "rotate", "--dry-run", "--json"]).json()["rewrap"], 1);
        let rotated = place.run(&["keys", "rotate", "--json"]).json();
        assert_ne!(rotated["primary"], before);
        assert_eq!(rotated["rewrapped"], 1);
        assert_eq!(rotated["removed"], serde_json::json!([before]));
        // An organization that the server has not met yet: its data key is wrapped with the new key.
        place.run(&["admin", "create-organization", "--slug", "later"]).ok();
        let owner = [
            "admin",
            "create-owner",
            "--organization",
            "later",
            "--email",
            "b@example.com",
            "--password-file",
            "password",
        ];
        place.run(&owner).ok();
        let made = [
            "admin",
            "create-token",
            "--organization",
            "later",
            "--email",
            "b@example.com",
            "--scope",
            "api",
            "--json",
        ];
        let other = place.run(&made).json()["token"].as_str().unwrap().to_owned();
        // Writing needs the audit log, and so the organization's key.
        server.client(&place, &other, &["token", "create", "--name", "x", "--scope", "api"]).ok();
        let verified = place.run(&["keys", "verify", "--json"]).json();
        assert_eq!(verified["ok"], true);
        assert_eq!(server.stop().0, Some(0));
        assert_eq!(place.serve(&[]).stop().0, Some(0), "and it starts with the new key alone");
    }
}

#[test]
fn an_unfinished_rotation_goes_on() {
    let place = Place::sqlite();
    place.create_owner();
    let first = place.run(&["keys", "rotate", "--keep-old", "--json"]).json();
    assert_eq!(first["removed"], serde_json::json!([]));
    assert_eq!(place.run(&["keys", "list", "--json"]).json()["items"].as_array().unwrap().len(), 2);
    let second = place.run(&["keys", "rotate", "--finish", "--json"]).json();
    assert_eq!(second["primary"], first["primary"], "no third key is made");
    assert_eq!(second["removed"].as_array().unwrap().len(), 1);
    assert_eq!(place.run(&["keys", "list", "--json"]).json()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn data_keys_are_rotated_and_the_old_ones_stay_for_the_audit_log() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let provider = runtime.block_on(ScriptedProvider::start());
    for place in Place::each() {
        let server = place.serve(&["--allow-private-networks"]);
        place.create_owner();
        let token = place.create_token("api");
        let add = [
            "connection",
            "add",
            "keyed",
            "http://127.0.0.1:39999/mcp",
            "--api-key-file",
            "password",
            "--no-wait",
        ];
        server.client(&place, &token, &add).ok();
        let with_secret = ["--client-id", CLIENT_ID, "--client-secret-file", "password"];
        let company = ["identity-provider", "add", "company", "--issuer", provider.issuer()];
        server.client(&place, &token, &[&company[..], &with_secret[..]].concat()).ok();
        let rotated = place.run(&["keys", "rotate", "--data-keys", "--json"]).json();
        assert_eq!((&rotated["new_data_keys"], &rotated["resealed"]), (&1.into(), &2.into()), "{rotated}");
        // The running server opens what was sealed anew: the check gets as far as the upstream that is not there.
        let checked = server.client(&place, &token, &["connection", "check", "keyed", "--json"]);
        assert!(checked.stdout.contains("connect_refused"), "{checked:?}");
        assert_eq!(server.stop().0, Some(0));
        assert_eq!(place.run(&["keys", "list", "--json"]).json()["items"][0]["data_keys"], 2);
        let verified = place.run(&["keys", "verify", "--json"]).json();
        assert_eq!(
            (&verified["ok"], &verified["checked"]),
            (&true.into(), &4.into()),
            "two keys, two secrets: {verified}"
        );
        place.create_token("api");
    }
}

#[test]
fn a_key_in_a_setting_is_the_operators_to_change() {
    let place = Place::sqlite();
    let key = [("SWITCHBOARD_MASTER_KEY", "kHmVY5PNDHvWqBz5tSDXHRnYQ3xUpQy4ySWuJq4mT2I=")];
    let owner = ["admin", "create-owner", "--email", "ana@example.com", "--password-file", "password"];
    place.run_with(&owner, &key).ok();
    assert!(!place.data().join("secrets").exists());
    place.run_with(&["keys", "rotate"], &key).fails_with(2, &["first line", "openssl rand -base64 32"]);
}
