//! What pages say to whoever is lost, sends a form again, or meets a rule.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::json;
use switchboard_domain::Role;
use switchboard_testkit::{
    app::{App, AppOptions, Browser, McpReply},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::{
    connect::{Person, api},
    console::{press, read},
};

const MIA: &str = "mia@example.test";

/// As a browser asks for an address that somebody typed.
async fn typed(browser: &Browser, path: &str) -> McpReply {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml"));
    browser.send(Method::GET, path, headers, String::new()).await
}

on_both! {
    async fn whoever_is_signed_in_goes_on_from_a_page_that_is_not_there(database) {
        let app = App::start(database.db.clone()).await;
        app.member_with_password(MIA, Role::Member).await;
        let mia = app.signed_in(MIA).await;
        let mut pages = Vec::new();
        // No such address, no such thing, one that is for admins.
        for path in ["/no/such/page", "/approvals/apr_1", "/overview"] {
            let answer = typed(&mia, path).await;
            assert_eq!(answer.status.as_u16(), 404, "{path}");
            let page = answer.text();
            assert!(page.contains("<nav aria-label=\"Main\">") && page.contains(">Sign out</button>"), "{path}: {page}");
            assert!(page.contains("<a class=\"button\" href=\"/\">To the start page</a>"), "{path}: {page}");
            assert!(!page.contains("href=\"/members\""), "the menu is a member's: {page}");
            pages.push(page);
        }
        assert_eq!(pages[0], pages[2], "what is not for somebody looks as if it was not there");
        let nobody = typed(&app.browser(), "/no/such/page").await;
        assert_eq!(nobody.status.as_u16(), 404);
        assert!(!nobody.text().contains("aria-label=\"Main\""), "{}", nobody.text());
        app.stop().await;
    }

    async fn a_form_that_is_sent_again_does_nothing_twice(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let path = "/members/invitations";
        let page = owner.browser.get(path).await;
        let (token, once) = (page.hidden("form_token"), page.hidden("once"));
        let form = [("what", "invite"), ("email", MIA), ("role", "member"), ("form_token", &*token), ("once", &*once)];
        let made = owner.browser.post(path, &form).await.text();
        let link = made.split("<pre data-copy=\"link\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let again = owner.browser.post(path, &form).await;
        assert_eq!(again.status.as_u16(), 409);
        let options = AppOptions { keyring: Some(app.keyring.clone()), ..AppOptions::default() };
        let replica = App::start_with(database.db.clone(), options).await;
        let elsewhere = owner.browser.post(&replica.url(path), &form).await;
        assert_eq!(elsewhere.status.as_u16(), 409, "another process knows");
        replica.stop().await;
        // Nor after signing in again, with another token in the form.
        let anew = app.signed_in("owner@example.test").await;
        let other_token = anew.get(path).await.hidden("form_token");
        assert_ne!(other_token, token);
        let kept = [("what", "invite"), ("email", MIA), ("role", "member"), ("form_token", &*other_token), ("once", &*once)];
        assert_eq!(anew.post(path, &kept).await.status.as_u16(), 409);
        let text = again.text();
        assert!(text.contains("This was sent before") && text.contains(&format!("href=\"{path}\"")), "{text}");
        assert_eq!(read(&app, &owner.token, "/invitations").await["items"].as_array().unwrap().len(), 1);
        let opened = app.browser().get(link.strip_prefix(&app.url("")).unwrap()).await;
        assert_eq!(opened.status.as_u16(), 200, "the first link still opens: {}", opened.text());
        // The same page, gone back to, for somebody else.
        let other = [("what", "invite"), ("email", "noa@example.test"), ("role", "member"), ("form_token", &*token), ("once", &*once)];
        assert!(owner.browser.post(path, &other).await.text().contains("data-copy=\"link\""));
        app.stop().await;
    }

    async fn a_tool_is_not_run_again_by_a_reload(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let page = owner.browser.get("/tools/tool?name=demo.echo").await;
        let names = ["form_token", "once", "schema_digest"];
        let mut form: Vec<(&str, String)> = names.into_iter().map(|name| (name, page.hidden(name))).collect();
        form.push(("name", "demo.echo".to_owned()));
        form.push(("raw", r#"{"text":"hello"}"#.to_owned()));
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let ran = owner.browser.post("/tools/tool", &form).await.text();
        assert!(ran.contains("It ran"), "{ran}");
        let again = owner.browser.post("/tools/tool", &form).await;
        assert!(again.text().contains("It is not done a second time"), "{}", again.text());
        let calls = read(&app, &owner.token, "/audit?action=capability.execute").await;
        let begun = calls["items"].as_array().unwrap().iter().filter(|entry| entry["phase"] == "started").count();
        assert_eq!(begun, 1, "{calls}");
        app.stop().await;
    }

    async fn what_is_missing_is_said_and_whose_it_is(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let owner = Person::owner(&app).await;
        app.member_with_password(MIA, Role::Member).await;
        let mia = app.signed_in(MIA).await;
        for (slug, mode) in [("ours", "shared"), ("each", "per_member")] {
            let new = json!({ "slug": slug, "name": slug, "url": upstream.url(), "auth_type": "api_key", "credential_mode": mode });
            let made = api(&app, &owner.token, Method::POST, "/connections", Some(new)).await.json();
            let path = format!("/connections/{}/grants", made["id"].as_str().unwrap());
            api(&app, &owner.token, Method::PUT, &path, Some(json!({ "everyone": true }))).await;
        }
        let admins = owner.browser.get("/connections").await.text();
        assert!(admins.contains("ours needs a key, and none was entered yet.") && !admins.contains("can put that right"), "{admins}");
        let hers = mia.get("/connections").await.text();
        assert!(hers.contains("each needs a key of yours, and you entered none yet."), "{hers}");
        assert!(hers.contains("An admin of your organization can put that right."), "{hers}");
        app.stop().await;
    }

    async fn a_rule_is_written_from_a_list_of_tools(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        let form = "/policies/rule";
        let page = owner.browser.get(form).await.text();
        assert!(page.contains("list=\"names\"") && page.contains("<option value=\"demo.*\"></option>"), "{page}");
        assert!(page.contains("<option value=\"demo.echo\"></option>"), "{page}");
        let found = press(&owner.browser, form, form, &[("find", "ECHO"), ("found", ""), ("action", "block"), ("step", "save")]).await.text();
        assert!(found.contains("name=\"pick\" value=\"demo.echo\"") && !found.contains("value=\"demo.add\" class=\"link\""), "{found}");
        assert!(found.contains("value=\"block\" checked") && !found.contains("aria-invalid"), "what was chosen stays: {found}");
        let picked = press(&owner.browser, form, form, &[("pick", "demo.echo"), ("find", "ECHO"), ("found", "ECHO"), ("action", "block")]).await.text();
        assert!(picked.contains("name=\"pattern\" value=\"demo.echo\"") && picked.contains("It matches 1 tool"), "{picked}");
        assert_eq!(read(&app, &owner.token, "/policies").await, json!([]), "nothing is saved by looking");
        app.stop().await;
    }

    async fn a_rule_that_nobody_could_approve_by_is_refused_in_words(database) {
        let app = App::start(database.db.clone()).await;
        let owner = Person::owner(&app).await;
        let form = "/policies/rule";
        let fields = [("step", "save"), ("pattern", "*"), ("action", "require_approval"), ("approvers", "caller"), ("second_person", "yes"), ("revision", "0")];
        let refused = press(&owner.browser, form, form, &fields).await;
        assert_eq!(refused.status.as_u16(), 422);
        let text = refused.text();
        assert!(text.contains("id=\"approvers-error\"") && text.contains("Nobody could approve: only the person whose agent asks may"), "{text}");
        let rule = json!([{ "pattern": "*", "action": "require_approval", "approvers": "caller", "second_person": true }]);
        let refused = api(&app, &owner.token, Method::PUT, "/policies", Some(rule)).await;
        assert_eq!(refused.status.as_u16(), 422);
        let text = refused.text();
        assert!(text.contains("so nobody could approve"), "{text}");
        // What is not asked for does not stand in the way.
        let blocked = [("step", "save"), ("pattern", "*"), ("action", "block"), ("approvers", "caller"), ("second_person", "yes"), ("revision", "0")];
        assert_eq!(press(&owner.browser, form, form, &blocked).await.location(), "/policies?from=1#rule-1");
        app.stop().await;
    }

    async fn who_is_blocked_by_a_rule_is_told_so_and_backticks_are_code(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        app.connect("demo", &upstream.url()).await;
        let owner = Person::owner(&app).await;
        app.member_with_password(MIA, Role::Member).await;
        let mia = app.signed_in(MIA).await;
        let rule = json!([{ "pattern": "demo.echo", "action": "block" }]);
        api(&app, &owner.token, Method::PUT, "/policies", Some(rule)).await;
        let blocked = mia.get("/tools/tool?name=demo.echo").await;
        assert_eq!(blocked.status.as_u16(), 404);
        let text = blocked.text();
        assert!(text.contains("A rule blocks this tool") && text.contains("An admin of your organization can change that"), "{text}");
        assert!(text.contains("(<code>demo.echo</code> → block)"), "{text}");
        assert!(text.contains("/policies/explain?capability=demo.echo"), "{text}");
        let unknown = mia.get("/tools/tool?name=demo.nothing").await.text();
        assert!(unknown.contains("No such tool") && unknown.contains("be blocked by a rule"), "{unknown}");
        let other = json!({ "slug": "other", "name": "Other", "url": upstream.url(), "auth_type": "none" });
        api(&app, &owner.token, Method::POST, "/connections", Some(other)).await;
        let rule = json!([{ "pattern": "*", "action": "block" }]);
        api(&app, &owner.token, Method::PUT, "/policies", Some(rule)).await;
        let not_granted = mia.get("/tools/tool?name=other.echo").await.text();
        assert!(not_granted.contains("No such tool"), "of what is not granted nothing is told: {not_granted}");
        app.stop().await;
    }
}
