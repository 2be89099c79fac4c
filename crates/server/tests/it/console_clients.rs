//! `/clients`: how AI clients got in, step by step, which stopped on the way, and keeping one out; and `/overview`, on which
//! their first call arrives.

use http::Method;
use serde_json::json;
use switchboard_domain::{Role, Scope};
use switchboard_testkit::{app::App, on_both, upstream::ReferenceUpstream};

use crate::{
    connect::{Person, api},
    console::{looks_like_nothing, press, read, takes_own_forms_only},
    oauth::{EMAIL, code, exchange, field, public_client, request, status_of},
};

/// The address of the only client's page.
async fn only_client(app: &App, owner: &Person) -> String {
    let listed = read(app, &owner.token, "/oauth-clients").await;
    format!("/clients/{}", listed["items"][0]["id"].as_str().unwrap())
}

on_both! {
    async fn every_step_of_a_clients_way_in_is_told_in_its_order(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        app.member_with_password(EMAIL, Role::Member).await;
        assert!(owner.browser.get("/clients").await.text().contains("Nobody signed in with a client yet"));
        app.client_at("/mcp", None).modern("tools/list", json!({})).await;
        let stopped = owner.browser.get("/clients").await.text();
        assert!(stopped.contains("Sign-ins that stopped") && stopped.contains("It did not ask how to sign in"), "{stopped}");
        app.browser().get("/.well-known/oauth-protected-resource/mcp").await;
        app.browser().get("/.well-known/oauth-authorization-server").await;
        let client = public_client(&app).await;
        let browser = app.signed_in(EMAIL).await;
        let code = code(&browser, &request(&client, &[])).await;
        let asked = owner.browser.get("/clients").await.text();
        assert!(asked.contains("Nobody pressed Allow, or the client never came back") && asked.contains(&client), "{asked}");
        let tokens = exchange(&app, &client, &code, &[]).await;
        assert_eq!(status_of(&app, "/mcp", &field(&tokens, "access_token")).await, 200);

        let page = only_client(&app, &owner).await;
        assert!(!owner.browser.get("/clients").await.text().contains("Sign-ins that stopped"), "what ended in a token did not stop");
        // Uses of tokens are noted now and then, and at the end: here by another process.
        app.stop().await;
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let shown = owner.browser.get(&page).await.text();
        let steps = [
            "Was told to sign in (401)", "Read what protects the address", "Read how to sign in", "Registered itself", "Sent its person here",
            "Was allowed by its person", "Got its token", "Came with its token for the first time",
        ];
        let places: Vec<usize> = steps.iter().map(|step| shown.find(step).unwrap_or_else(|| panic!("{step}: {shown}"))).collect();
        assert!(places.is_sorted(), "{places:?}: {shown}");
        assert!(shown.contains(&format!("For <bdi>{EMAIL}</bdi>")) && !shown.contains("Agent <b>"), "{shown}");
        let entry = read(&app, &owner.token, "/audit?action=oauth.token&limit=1").await["items"][0].clone();
        assert!(entry["details"]["trail"]["challenged_at"].is_string() && entry["details"]["trail"]["asked_at"].is_string(), "{entry}");
        let again = exchange(&app, &client, &code, &[]).await;
        assert_eq!(again.status.as_u16(), 400);
        assert!(owner.browser.get(&page).await.text().contains("Something was used twice"));
        app.stop().await;
    }

    async fn a_client_is_kept_out_let_in_and_forgotten_by_admins_alone(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        app.member_with_password(EMAIL, Role::Member).await;
        let browser = app.signed_in(EMAIL).await;
        let elsewhere = app.stranger_signed_in().await;
        let client = public_client(&app).await;
        let tokens = exchange(&app, &client, &code(&browser, &request(&client, &[])).await, &[]).await;
        let access = field(&tokens, "access_token");
        let page = only_client(&app, &owner).await;
        let (change, unknown) = (format!("{page}/change"), "/clients/ocl_00000000000000000000000000");
        looks_like_nothing(&browser, &page, unknown).await;
        looks_like_nothing(&elsewhere, &page, unknown).await;
        for path in ["/clients", "/clients/new"] {
            assert_eq!(browser.get(path).await.status.as_u16(), 404, "{path}");
        }
        let token = browser.get("/").await.hidden("form_token");
        let strange = elsewhere.get("/clients/new").await.hidden("form_token");
        for word in ["keep_out", "remove"] {
            assert_eq!(browser.post(&change, &[("change", word), ("form_token", &token)]).await.status.as_u16(), 404);
            assert_eq!(elsewhere.post(&change, &[("change", word), ("form_token", &strange)]).await.status.as_u16(), 404);
            takes_own_forms_only(&owner.browser, &change, &[("change", word)], &token).await;
        }
        assert!(!elsewhere.get("/clients").await.text().contains("Sign-ins that stopped"), "of several organizations nobody is told");
        assert_eq!(status_of(&app, "/mcp", &access).await, 200);
        assert_eq!(press(&owner.browser, &page, &change, &[("change", "keep_out")]).await.location(), page);
        assert_eq!(status_of(&app, "/mcp", &access).await, 401);
        assert!(owner.browser.get(&page).await.text().contains("Kept out"));
        press(&owner.browser, &page, &change, &[("change", "let_in")]).await;
        assert!(owner.browser.get(&page).await.text().contains("May be allowed"));
        assert_eq!(press(&owner.browser, &page, &change, &[("change", "remove")]).await.location(), "/clients");
        assert_eq!(owner.browser.get(&page).await.status.as_u16(), 404);
        let actions = read(&app, &owner.token, "/audit?limit=50").await;
        let count = |action: &str| actions["items"].as_array().unwrap().iter().filter(|entry| entry["action"] == action && entry["outcome"] == "ok").count();
        assert_eq!((count("oauth_client.update"), count("oauth_client.remove")), (2, 1));
        app.stop().await;
    }

    async fn a_client_is_made_by_hand(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let new = "/clients/new";
        let wrong = press(&owner.browser, new, new, &[("name", "Studio <i>"), ("redirect_uris", "javascript:alert(1)")]).await;
        assert_eq!(wrong.status.as_u16(), 422);
        let text = wrong.text();
        assert!(text.contains("id=\"redirect_uris-error\"") && text.contains(">javascript:alert(1)</textarea>") && text.contains("value=\"Studio &#60;i&#62;\""), "{text}");
        let fields = [("name", "Studio"), ("redirect_uris", "https://studio.example/cb\nhttp://127.0.0.1/callback"), ("confidential", "yes")];
        let made = press(&owner.browser, new, new, &fields).await.text();
        assert!(made.contains("shown this once") && made.contains("swb_"), "{made}");
        let stored = read(&app, &owner.token, "/oauth-clients").await["items"][0].clone();
        assert_eq!((&stored["name"], &stored["confidential"]), (&json!("Studio"), &json!(true)));
        assert_eq!(stored["redirect_uris"], json!(["https://studio.example/cb", "http://127.0.0.1/callback"]));
        let page = only_client(&app, &owner).await;
        let rotated = press(&owner.browser, &page, &format!("{page}/change"), &[("change", "secret")]).await.text();
        assert!(rotated.contains("It has a new secret") && rotated.contains("swb_"), "{rotated}");
        app.stop().await;
    }

    async fn an_overview_begins_with_what_is_to_do_and_goes_on_with_how_things_are(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let mia = Person::member(&app, EMAIL).await;
        assert_eq!(mia.browser.get("/overview").await.status.as_u16(), 404);
        let (email, password) = (("email", "owner@example.test"), ("password", switchboard_testkit::app::PASSWORD));
        assert_eq!(app.browser().post("/sign-in", &[email, password]).await.location(), "/overview", "admins begin there");
        let empty = owner.browser.get("/overview").await.text();
        for part in ["Getting started", "Add a server", "Connect a client", "No call in the last seven days"] {
            assert!(empty.contains(part), "{part}: {empty}");
        }
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let down = app.add("down", "http://127.0.0.1:1/mcp").await;
        app.grant_everyone(down).await;
        let _ = app.broker.check(app.organization, down, None).await;
        let half = owner.browser.get("/overview").await.text();
        assert!(half.contains("2 servers were added") && half.contains("href=\"/connections?state=connected\">Connected: 1"), "{half}");
        assert!(half.contains("Blocked by policy") && half.contains(&format!("href=\"/connections/{down}\"")), "{half}");

        let client = app.client(&app.token(app.owner, &[Scope::McpRead, Scope::McpWrite]).await);
        client.execute("demo.echo", json!({ "text": "x" })).await;
        client.execute("demo.fail", json!({})).await;
        api(&app, &owner.token, Method::PUT, "/policies", Some(json!([{ "pattern": "demo.add", "action": "block" }, { "pattern": "demo.content", "action": "require_approval" }]))).await;
        client.execute("demo.add", json!({ "a": 1, "b": 2 })).await;
        client.execute("demo.content", json!({})).await;
        let counted = settled(&owner, 4).await;
        assert!(!counted.contains("Getting started") && counted.contains("<svg class=\"chart\""), "{counted}");
        assert!(counted.contains("<strong>4</strong> calls, 1 failed, 1 refused, 1 held for approval"), "{counted}");
        assert!(counted.contains("<span class=\"figure\">1</span> call waits"), "{counted}");
        client.execute("demo.echo", json!({ "text": "again" })).await;
        settled(&owner, 5).await;
        app.stop().await;
    }
}

/// The overview, once so many calls are on record.
async fn settled(owner: &Person, calls: usize) -> String {
    let mut shown = String::new();
    for _ in 0..200 {
        shown = owner.browser.get("/overview").await.text();
        if shown.contains(&format!("<strong>{calls}</strong> calls")) {
            return shown;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("not {calls} calls: {shown}");
}
