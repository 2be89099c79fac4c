//! `switchboard login`: the real program signs a person in at a real server, through a browser, and goes on by itself.

use serde_json::Value;
use switchboard_domain::Role;
use switchboard_testkit::{
    app::{App, AppOptions, Browser},
    database::TestDatabase,
};

use super::program::{Place, SignIn, mode};

const EMAIL: &str = "mia@example.test";

/// Allows what waits under this address; where the browser is sent.
async fn allow(app: &App, browser: &Browser, address: &str) -> String {
    let asked = address.strip_prefix(&app.url("")).expect("an address of this server");
    let begun = browser.get(asked).await;
    let page = browser.get(begun.location()).await;
    let shown = page.text();
    assert!(shown.contains("Switchboard command line") && shown.contains("REST API"), "{shown}");
    let form_token = page.hidden("form_token");
    let allowed = browser.post(begun.location(), &[("form_token", &form_token), ("decision", "allow")]).await;
    allowed.location().to_owned()
}

fn stored(place: &Place) -> Value {
    let text = std::fs::read_to_string(place.path("config/switchboard/login.json")).expect("the sign-in");
    serde_json::from_str(&text).expect("JSON")
}

async fn signs_in(database: TestDatabase) {
    let mut options = AppOptions::default();
    // Below what commands refresh early: every command refreshes.
    options.settings.authorization.access_token_lifetime = std::time::Duration::from_secs(20);
    let app = App::start_with(database.db.clone(), options).await;
    let mia = app.member_with_password(EMAIL, Role::Admin).await;
    let browser = app.signed_in(EMAIL).await;
    let place = Place::sqlite();
    let config = place.path("config");
    let environment = [("XDG_CONFIG_HOME", config.to_str().expect("a path"))];
    let server = app.url("");
    let run = |arguments: &[&str]| {
        let (place, arguments) = (&place, arguments.to_vec());
        tokio::task::block_in_place(|| place.run_with(&arguments, &environment))
    };

    run(&["team", "list"]).fails_with(2, &["switchboard login"]);
    let mut login = SignIn::start(&place, &["login", "--server", &server], &environment);
    let address = tokio::task::block_in_place(|| login.address());
    let back = allow(&app, &browser, &address).await;
    let forged = browser.get(&back.replace("state=", "state=x")).await;
    assert_eq!(forged.status.as_u16(), 404, "an answer to somebody else's question");
    let page = browser.get(&back).await;
    assert!(page.text().contains("You are signed in"), "{}", page.text());
    let said = tokio::task::block_in_place(|| login.finish()).ok();
    assert!(!said.contains("swb_"), "{said}");

    let file = place.path("config/switchboard/login.json");
    assert_eq!((mode(&file), mode(file.parent().expect("a directory"))), (0o600, 0o700));
    let first = stored(&place);
    run(&["team", "list"]).ok();
    let second = stored(&place);
    assert_ne!(
        first["logins"][&server]["refresh_token"], second["logins"][&server]["refresh_token"],
        "it refreshes"
    );
    run(&["search", "invoice", "--json"]).ok();
    assert!(
        stored(&place)["logins"][&server]["access_tokens"]["/mcp"]["token"].is_string(),
        "one for AI clients' endpoint"
    );
    let made = run(&["token", "create", "--name", "ci", "--scope", "mcp:read", "--json"]).json();
    assert_eq!(made["owner"], mia.to_string());

    let token =
        second["logins"][&server]["access_tokens"]["/api/v1"]["token"].as_str().expect("a token").to_owned();
    let elsewhere = app.client_at("/mcp", Some(&token)).modern("tools/list", serde_json::json!({})).await;
    assert_eq!(elsewhere.status.as_u16(), 401, "each is for one endpoint");
    run(&["logout", "--server", &server]).ok();
    assert!(stored(&place)["logins"].as_object().expect("an object").is_empty());
    let after = app
        .client_at("/api/v1/organization", Some(&token))
        .send(http::Method::GET, http::HeaderMap::new(), "")
        .await;
    assert_eq!(after.status.as_u16(), 401, "its tokens ended with it");
    let made = made["token"].as_str().expect("a token");
    let goes_on = app.client_at("/mcp", Some(made)).modern("tools/list", serde_json::json!({})).await;
    assert_eq!(goes_on.status.as_u16(), 200, "what a person made there is theirs, as at the console");
    run(&["team", "list", "--server", &server]).fails_with(2, &["switchboard login"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_on_sqlite() {
    signs_in(TestDatabase::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_on_postgres() {
    if switchboard_testkit::database::sqlite_only() {
        return;
    }
    signs_in(TestDatabase::postgres().await).await;
}
