//! What acts as a person and how it is ended, the settings of an organization, and forms that outlive their session.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use switchboard_broker::KeptForm;
use switchboard_domain::{FixedClock, Role, SecretValue};
use switchboard_storage::SealedColumn;
use switchboard_testkit::{
    app::{App, AppOptions, Browser, McpReply, PASSWORD},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    connect::{Person, api},
    support::READ_WRITE,
};

const MIA: &str = "mia@example.test";
const ACCESS: &str = "/account/access";

async fn press(browser: &Browser, page: &str, fields: &[(&str, &str)]) -> McpReply {
    let token = browser.get(page).await.hidden("form_token");
    let mut fields = fields.to_vec();
    fields.push(("form_token", &token));
    browser.post(page, &fields).await
}

async fn read(app: &App, token: &str, path: &str) -> Value {
    api(app, token, Method::GET, path, None).await.json()
}

async fn with_clock(database: &switchboard_testkit::database::TestDatabase) -> (App, Arc<FixedClock>) {
    let clock = Arc::new(FixedClock::at_micros(1_795_000_000_000_000));
    let options = AppOptions { clock: Some(clock.clone()), ..AppOptions::default() };
    (App::start_with(database.db.clone(), options).await, clock)
}

/// The text of the one element that is shown once.
fn once(page: &str, what: &str) -> String {
    page.split(&format!("<pre data-copy=\"{what}\">")).nth(1).unwrap().split('<').next().unwrap().to_owned()
}

on_both! {
    async fn a_token_is_made_shown_once_and_revoked(database) {
        let (app, clock) = with_clock(&database).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let mia = Person::member(&app, MIA).await;
        let wrong = press(&mia.browser, ACCESS, &[("what", "token"), ("name", "build"), ("resource", ""), ("days", "30")]).await;
        assert!(wrong.status.as_u16() == 422 && wrong.text().contains("value=\"build\""), "{}", wrong.text());
        let fields = [("what", "token"), ("name", "build"), ("scope", "mcp:read"), ("scope", "mcp:write"), ("resource", "/mcp"), ("days", "30")];
        let made = press(&mia.browser, ACCESS, &fields).await.text();
        let secret = once(&made, "token");
        let client = app.client(&secret);
        assert_eq!(client.execute("demo.echo", json!({ "text": "x" })).await["isError"], false);
        let listed = mia.browser.get(ACCESS).await.text();
        assert!(listed.contains("build") && !listed.contains(&secret) && listed.contains("mcp:read, mcp:write"), "{listed}");
        let stored = read(&app, &mia.token, "/tokens").await;
        let stored = stored["items"].as_array().unwrap().iter().find(|it| it["name"] == "build").unwrap().clone();
        assert_eq!((&stored["resource"], &stored["scopes"]), (&json!("/mcp"), &json!(["mcp:read", "mcp:write"])));
        let id = stored["id"].as_str().unwrap();
        let other = Person::owner(&app).await;
        let theirs = app.member_with_password("joe@example.test", Role::Member).await;
        let joe = app.signed_in("joe@example.test").await;
        assert_eq!(press(&joe, ACCESS, &[("what", "revoke-token"), ("id", id)]).await.status.as_u16(), 404, "{theirs}");
        assert_eq!(press(&mia.browser, ACCESS, &[("what", "revoke-token"), ("id", id)]).await.location(), ACCESS);
        assert_eq!(client.modern("tools/list", json!({})).await.status.as_u16(), 401);
        let log = read(&app, &other.token, "/audit?action=token.revoke").await;
        assert_eq!(log["items"].as_array().unwrap().iter().filter(|it| it["outcome"] == "refused").count(), 1);

        clock.advance(Duration::from_secs(3_600));
        let asked = press(&mia.browser, ACCESS, &fields).await;
        assert_eq!(asked.location(), "/reauthenticate?return_to=%2Fkept-form");
        let token = mia.browser.get(asked.location()).await.hidden("form_token");
        mia.browser.post("/reauthenticate", &[("password", PASSWORD), ("return_to", "/kept-form"), ("form_token", &token)]).await;
        let kept = mia.browser.get("/kept-form").await;
        assert_eq!((kept.hidden("name"), kept.hidden("resource")), ("build".into(), "/mcp".into()), "{}", kept.text());
        assert!(kept.text().contains("<bdi>What to do</bdi></dt><dd><bdi>token</bdi>"), "{}", kept.text());
        app.stop().await;
    }

    async fn browsers_are_listed_and_signed_out(database) {
        let app = App::start(database.db.clone()).await;
        let mia = Person::member(&app, MIA).await;
        let (second, third) = (app.signed_in(MIA).await, app.signed_in(MIA).await);
        let listed = mia.browser.get(ACCESS).await;
        assert!(listed.text().contains("this one") && listed.text().contains("Sign out everywhere else"), "{}", listed.text());
        let sessions: Value = second.get("/api/v1/sessions").await.json();
        let id = sessions["items"].as_array().unwrap().iter().find(|it| it["current"] == true).unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!(press(&mia.browser, ACCESS, &[("what", "session"), ("id", &id)]).await.location(), ACCESS);
        assert!(second.get(ACCESS).await.location().starts_with("/sign-in"));
        assert_eq!(press(&mia.browser, ACCESS, &[("what", "sessions")]).await.location(), ACCESS);
        assert!(third.get(ACCESS).await.location().starts_with("/sign-in"));
        assert!(mia.browser.get(ACCESS).await.status.is_success());
        app.stop().await;
    }

    async fn a_client_that_is_set_up_is_seen_to_arrive(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let mia = app.member_with_password(MIA, Role::Member).await;
        let browser = app.signed_in(MIA).await;
        for client in ["claude-code", "claude", "chatgpt", "cursor", "vscode", "codex", "other"] {
            let page = browser.get(&format!("/connect-client?client={client}")).await.text();
            assert!(page.contains(&app.url("/mcp")) && page.contains("aria-current=\"page\""), "{client}: {page}");
        }
        let page = browser.get("/connect-client?client=cursor").await.text();
        assert!(page.contains("href=\"cursor://anysphere.cursor-deeplink/mcp/install?name=switchboard"), "{page}");
        assert!(page.contains("Waiting for the first sign"), "{page}");
        let poll = page.split("data-hx-get=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
        app.client(&app.token(app.owner, &READ_WRITE).await).execute("demo.echo", json!({ "text": "x" })).await;
        let token = browser.get("/tools").await.hidden("form_token");
        browser.post("/tools/tool", &[("form_token", &token), ("name", "demo.echo"), ("raw", "{\"text\": \"x\"}")]).await;
        assert!(browser.get(&poll).await.text().contains("Waiting for the first sign"), "neither another's nor their own by hand");
        app.client(&app.token(mia, &READ_WRITE).await).execute("demo.echo", json!({ "text": "x" })).await;
        let seen = browser.get(&poll).await;
        assert_eq!(seen.status.as_u16(), 286, "htmx stops asking");
        assert!(seen.text().contains("connected") && seen.text().contains("demo.echo"), "{}", seen.text());
        assert!(app.browser().get(&poll).await.location().starts_with("/sign-in"));
        app.stop().await;
    }

    async fn settings_are_the_admins_and_those_of_the_operator_are_locked(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let mia = Person::member(&app, MIA).await;
        let page = owner.browser.get("/settings").await;
        assert!(page.text().contains("calls.per_minute_per_member") && page.text().contains("locked"), "{}", page.text());
        let revision = page.hidden("revision");
        let fields = |days| [
            ("name", "Lighthouse"), ("revision", &*revision), ("hold_destructive", "yes"), ("password_sign_in", "yes"),
            ("max_token_days", days), ("max_personal_connections", "3"), ("audit_retention_days", "400"),
        ];
        let wrong = press(&owner.browser, "/settings", &fields("many")).await;
        assert!(wrong.status.as_u16() == 422 && wrong.text().contains("is not a whole number") && wrong.text().contains("value=\"many\""), "{}", wrong.text());
        assert_eq!(press(&owner.browser, "/settings", &fields("9999")).await.status.as_u16(), 422);
        let saved = press(&owner.browser, "/settings", &fields("20")).await;
        assert_eq!(saved.location(), "/settings", "{}", saved.text());
        let stored = read(&app, &owner.token, "/organization").await;
        assert_eq!((&stored["name"], &stored["settings"]["hold_destructive"], &stored["settings"]["max_token_days"], &stored["settings"]["audit_retention_days"]), (&json!("Lighthouse"), &json!(true), &json!(20), &json!(400)));
        assert_eq!(press(&owner.browser, "/settings", &fields("30")).await.status.as_u16(), 409, "of an older page");
        let admin = app.member_with_password("adm@example.test", Role::Admin).await;
        let admin = (admin, app.signed_in("adm@example.test").await).1;
        assert_eq!(admin.get("/system").await.status.as_u16(), 404, "for owners");
        let system = owner.browser.get("/system").await.text();
        assert!(system.contains("applied") && system.contains("answers") && system.contains("switchboard doctor"), "{system}");
        let token = mia.browser.get("/").await.hidden("form_token");
        for path in ["/settings", "/settings/webhooks", "/system"] {
            assert_eq!(mia.browser.get(path).await.status.as_u16(), 404, "{path}");
        }
        let mut theirs = fields("7").to_vec();
        theirs.push(("form_token", &token));
        assert_eq!(mia.browser.post("/settings", &theirs).await.status.as_u16(), 404);
        assert_eq!(read(&app, &owner.token, "/organization").await["settings"]["max_token_days"], 20);
        app.stop().await;
    }

    async fn a_webhook_is_added_with_a_secret_shown_once_and_taken_away(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let page = "/settings/webhooks";
        let wrong = press(&owner.browser, page, &[("what", "add"), ("name", "Pager"), ("url", "ftp://x"), ("event", "approval.requested")]).await;
        assert!(wrong.status.as_u16() == 422 && wrong.text().contains("value=\"ftp://x\"") && wrong.text().contains("checked"), "{}", wrong.text());
        let made = press(&owner.browser, page, &[("what", "add"), ("name", "Pager"), ("url", "http://127.0.0.1:4321/hook"), ("event", "approval.requested")]).await.text();
        let secret = once(&made, "secret");
        assert!(secret.starts_with("whsec_") && !owner.browser.get(page).await.text().contains(&secret));
        let stored = async || read(&app, &owner.token, "/webhooks").await["items"].clone();
        let id = stored().await[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(press(&owner.browser, page, &[("what", "off"), ("id", &id)]).await.location(), page);
        assert_eq!(stored().await[0]["enabled"], false);
        assert!(owner.browser.get(page).await.text().contains("Turn on"));
        assert_eq!(press(&owner.browser, page, &[("what", "delete"), ("id", &id)]).await.location(), page);
        assert_eq!(stored().await, json!([]));
        app.stop().await;
    }

    async fn a_form_whose_session_is_over_waits_for_the_same_member(database) {
        let (app, clock) = with_clock(&database).await;
        let owner = Person::owner(&app).await;
        app.member_with_password(MIA, Role::Admin).await;
        let form = [("name", "Night watch, <b>all</b> of it")];
        let token = owner.browser.get("/members/teams").await.hidden("form_token");
        let mut fields = form.to_vec();
        fields.push(("form_token", &token));
        clock.advance(Duration::from_secs(13 * 3_600));
        let mut forged = form.to_vec();
        forged.push(("form_token", "another"));
        let plain = owner.browser.post("/members/teams", &forged).await;
        assert!(plain.location().starts_with("/sign-in?return_to=%2Fmembers"), "no form of ours: {}", plain.location());
        app.broker.forget_what_is_over().await.unwrap();
        let sent = owner.browser.post("/members/teams", &fields).await;
        assert_eq!(sent.location(), "/sign-in?return_to=%2Fkept-form");
        let sign_in = owner.browser.get(sent.location()).await.text();
        assert!(!sign_in.contains("Night watch"), "nobody is known yet: {sign_in}");

        let enter = async |email: &str| {
            let fields = [("email", email), ("password", PASSWORD), ("return_to", "/kept-form")];
            assert_eq!(owner.browser.post("/sign-in", &fields).await.location(), "/kept-form");
            owner.browser.get("/kept-form").await
        };
        let somebody_else = enter(MIA).await;
        assert!(somebody_else.status.as_u16() == 404 && !somebody_else.text().contains("Night watch"));
        let out = owner.browser.get("/").await.hidden("form_token");
        owner.browser.post("/sign-out", &[("form_token", &out)]).await;
        // Another process, which they come to by chance, has it too.
        let options = AppOptions { clock: Some(clock.clone()), keyring: Some(app.keyring.clone()), ..AppOptions::default() };
        let other = App::start_with(database.db.clone(), options).await;
        let kept = enter("owner@example.test").await;
        assert!(owner.browser.get(&other.url("/kept-form")).await.text().contains("Night watch"));
        other.stop().await;
        assert!(kept.text().contains("Night watch, &#60;b&#62;all") && kept.text().contains("action=\"/members/teams\""), "{}", kept.text());
        assert_eq!(read(&app, &owner.token, "/teams").await["items"], json!([]), "nothing has happened yet");
        let token = kept.hidden("form_token");
        let mut again = form.to_vec();
        again.push(("form_token", &token));
        assert!(owner.browser.post("/members/teams", &again).await.location().starts_with("/members/teams/"));
        assert_eq!(read(&app, &owner.token, "/teams").await["items"][0]["name"], form[0].1);
        press(&owner.browser, "/kept-form", &[]).await;
        assert_eq!(owner.browser.get("/kept-form").await.status.as_u16(), 404, "thrown away");
        app.stop().await;
    }
    async fn the_newest_forms_of_a_member_wait_a_quarter_of_an_hour(database) {
        let (app, clock) = with_clock(&database).await;
        let owner = (app.organization, app.owner);
        let person = Person::owner(&app).await;
        let cookie = person.browser.cookie("switchboard").unwrap();
        let session = app.broker.session(&cookie).await.unwrap().unwrap();
        let mut handles = Vec::new();
        for number in 0..9 {
            let fields = vec![("name".to_owned(), SecretValue::new(format!("form-canary-{number}")))];
            let form = KeptForm { action: format!("/{number}"), fields };
            handles.push(app.broker.keep_form(owner, &form).await.unwrap());
            clock.advance(Duration::from_secs(1));
        }
        let found = async |number: usize| app.broker.kept_form(&session, handles[number].expose()).await.unwrap();
        assert!(found(0).await.is_none(), "the oldest gave way");
        let first = found(1).await.unwrap();
        assert_eq!((&*first.action, first.fields[0].1.expose()), ("/1", "form-canary-1"));
        app.broker.discard_form(&session, handles[8].expose()).await.unwrap();
        assert!(found(8).await.is_none());
        clock.advance(KeptForm::WAITS);
        assert!(found(7).await.is_none());
        app.broker.forget_what_is_over().await.unwrap();
        let left = app.db.read().await.unwrap().sealed().count(SealedColumn::KeptForm, app.organization).await.unwrap();
        assert_eq!(left, 0);
        app.stop().await;
    }
}
