//! Calls that rules hold: asked, decided by a person, run once; what counts is what the upstream's log says.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use switchboard_broker::{ApprovalSettings, Settings};
use switchboard_domain::{Clock as _, ConnectionOwner, MemberId, Role, Scope, SystemClock};
use switchboard_storage::PolicyLayer;
use switchboard_testkit::{
    app::{App, AppOptions, Browser, McpClient, McpReply},
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::{READ_WRITE, json_headers};

const EMAIL: &str = "mia@example.test";

/// An app with a connection `demo` for everybody, and these organization rules.
async fn world(app: &App, rules: Value) -> ReferenceUpstream {
    let upstream = ReferenceUpstream::start().await;
    app.connect("demo", &upstream.url()).await;
    put_rules(app, &rules, 0).await;
    upstream
}

async fn put_rules(app: &App, rules: &Value, revision: i64) {
    let mut tx = app.db.write().await.unwrap();
    let now = SystemClock.now();
    assert!(
        tx.policies().put(app.organization, PolicyLayer::Organization, rules, revision, now).await.unwrap()
    );
    tx.commit().await.unwrap();
    app.broker.refresh_snapshots().await.unwrap();
}

fn held(approvers: &str) -> Value {
    json!([{ "pattern": "demo.echo", "action": "require_approval", "approvers": approvers }])
}

async fn call(client: &McpClient, arguments: &Value, approval: Option<&str>) -> Value {
    let mut asked = json!({ "name": "demo.echo", "arguments": arguments, "intent": "to see it" });
    if let Some(approval) = approval {
        asked["approval_id"] = json!(approval);
    }
    client.call("execute_capability", asked).await
}

fn code(result: &Value) -> &str {
    result["structuredContent"]["code"].as_str().unwrap_or("it ran")
}

/// The approval that a refused call is told to wait for.
#[track_caller]
fn waits(result: &Value) -> String {
    assert_eq!(code(result), "approval_required", "{result}");
    result["structuredContent"]["details"]["approval_id"].as_str().unwrap().to_owned()
}

/// REST with a token.
async fn rest(app: &App, token: &str, method: Method, path: &str) -> McpReply {
    app.client_at(&format!("/api/v1{path}"), Some(token)).send(method, HeaderMap::new(), "").await
}

async fn decide(app: &App, token: &str, id: &str, verb: &str) -> (u16, Value) {
    let reply = rest(app, token, Method::POST, &format!("/approvals/{id}/{verb}")).await;
    (reply.status.as_u16(), reply.json())
}

async fn form(browser: &Browser, id: &str, decision: &str) -> McpReply {
    let page = browser.get(&format!("/approvals/{id}")).await;
    let token = page.hidden("form_token");
    browser.post(&format!("/approvals/{id}"), &[("form_token", &token), ("decision", decision)]).await
}

fn decides_elsewhere<'l>(line: &[&'l String; 4], index: usize) -> &'l str {
    line[(index + 1) % 4]
}

async fn allow_personal_connections(app: &App) {
    let mut tx = app.db.write().await.unwrap();
    let found = tx.organizations().find(app.organization).await.unwrap().unwrap();
    let settings = json!({ "personal_connections": true });
    assert!(tx.organizations().update(found.id, &found.name, &settings, found.version).await.unwrap());
    tx.commit().await.unwrap();
    app.broker.refresh_snapshots().await.unwrap();
}

async fn api_token(app: &App, member: MemberId) -> String {
    app.token(member, &[Scope::Api]).await
}

async fn audited(app: &App, action: &str) -> usize {
    let mut tx = app.db.read().await.unwrap();
    let filter = switchboard_storage::AuditFilter { action: Some(action.into()), ..Default::default() };
    tx.audit().page(app.organization, &filter, 100).await.unwrap().len()
}

on_both! {
    async fn what_a_person_approved_runs_once(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = world(&app, held("caller")).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        let arguments = json!({ "text": "one" });

        let refused = call(&client, &arguments, None).await;
        let id = waits(&refused);
        let told = &refused["structuredContent"];
        assert_eq!(told["action"]["url"], json!(app.url(&format!("/approvals/{id}"))), "{told}");
        assert_eq!((&told["action"]["type"], &told["actor"]), (&json!("approve"), &json!("member")));
        assert_eq!(waits(&call(&client, &arguments, None).await), id, "asking twice is asking once");
        assert_eq!(waits(&call(&client, &arguments, Some(&id)).await), id, "nobody decided yet");
        assert_eq!(upstream.log().executions("echo"), 0);

        let browser = app.signed_in(EMAIL).await;
        let listed = browser.get("/approvals").await.text();
        assert!(listed.contains(&id) && listed.contains("demo.echo"), "{listed}");
        let page = browser.get(&format!("/approvals/{id}")).await;
        let text = page.text();
        assert!(text.contains("&#34;text&#34;: &#34;one&#34;") || text.contains("\"text\": \"one\""), "{text}");
        assert!(text.contains("to see it") && text.contains("test 1") && text.contains(EMAIL), "{text}");
        let done = form(&browser, &id, "approve").await;
        assert_eq!((done.status.as_u16(), done.location()), (303, format!("/approvals/{id}").as_str()));
        assert_eq!(upstream.log().executions("echo"), 0, "deciding calls nothing");

        let same = json!({ "text": "one" });
        let (first, second) = tokio::join!(call(&client, &same, Some(&id)), call(&client, &same, Some(&id)));
        let ran = [&first, &second].into_iter().filter(|result| code(result) == "it ran").count();
        assert_eq!(ran, 1, "{first} {second}");
        assert_eq!(upstream.log().executions("echo"), 1);
        let third = call(&client, &arguments, Some(&id)).await;
        assert_ne!(waits(&third), id, "a used one is used: {third}");
        assert_eq!(upstream.log().executions("echo"), 1);
        assert_eq!((audited(&app, "approval.request").await, audited(&app, "approval.use").await), (2, 1));
        assert_eq!(audited(&app, "approval.approve").await, 1);
        app.stop().await;
    }

    async fn an_approval_is_for_one_caller_and_exactly_these_arguments(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = world(&app, held("caller")).await;
        let (mia, kai) = (app.member(EMAIL, Role::Member).await, app.member("kai@example.test", Role::Member).await);
        let mias = app.client(&app.token(mia, &READ_WRITE).await);
        let kais = app.client(&app.token(kai, &READ_WRITE).await);
        let id = waits(&call(&mias, &json!({ "text": "one" }), None).await);
        assert_eq!(decide(&app, &api_token(&app, mia).await, &id, "approve").await.0, 200);

        for (client, text) in [(&mias, "two"), (&kais, "one")] {
            let refused = call(client, &json!({ "text": text }), Some(&id)).await;
            assert_ne!(waits(&refused), id, "{refused}");
        }
        let nonsense = call(&mias, &json!({ "text": "three" }), Some("apr_nonsense")).await;
        assert_ne!(waits(&nonsense), id);
        assert_eq!(upstream.log().executions("echo"), 0);
        assert_eq!(code(&call(&mias, &json!({ "text": "one" }), Some(&id)).await), "it ran", "it is still good");
        assert_eq!(upstream.log().executions("echo"), 1);
        app.stop().await;
    }

    async fn declined_is_final(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = world(&app, held("caller")).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let (client, person) = (app.client(&app.token(mia, &READ_WRITE).await), api_token(&app, mia).await);
        let arguments = json!({ "text": "no" });
        for approved_before in [false, true] {
            let id = waits(&call(&client, &arguments, None).await);
            if approved_before {
                assert_eq!(decide(&app, &person, &id, "approve").await.0, 200);
            }
            assert_eq!(decide(&app, &person, &id, "decline").await.0, 200);
            assert_eq!(code(&call(&client, &arguments, Some(&id)).await), "approval_declined");
            let (status, problem) = decide(&app, &person, &id, "approve").await;
            assert_eq!((status, &problem["code"]), (409, &json!("approval_declined")));
        }
        assert_eq!(upstream.log().executions("echo"), 0);
        app.stop().await;
    }

    async fn what_nobody_decided_in_time_is_over(database) {
        let approval = ApprovalSettings { lifetime: Duration::ZERO, ..ApprovalSettings::default() };
        let settings = Settings { approval, ..Settings::default() };
        let app = App::start_with(database.db.clone(), AppOptions { settings, ..AppOptions::default() }).await;
        let upstream = world(&app, held("caller")).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let (client, person) = (app.client(&app.token(mia, &READ_WRITE).await), api_token(&app, mia).await);
        let id = waits(&call(&client, &json!({ "text": "late" }), None).await);
        let (status, problem) = decide(&app, &person, &id, "approve").await;
        assert_eq!((status, &problem["code"]), (409, &json!("approval_expired")));
        assert_eq!(code(&call(&client, &json!({ "text": "late" }), Some(&id)).await), "approval_expired");
        let read: Value = rest(&app, &person, Method::GET, &format!("/approvals/{id}")).await.json();
        assert_eq!((&read["status"], &read["may_decide"]), (&json!("expired"), &json!(false)));
        assert_eq!(upstream.log().executions("echo"), 0);
        app.stop().await;
    }

    async fn the_people_the_rule_names_decide_and_nobody_else(database) {
        let app = App::start(database.db.clone()).await;
        let rules = json!([{ "pattern": "demo.echo", "action": "require_approval", "approvers": "admins", "second_person": true }]);
        let upstream = world(&app, rules).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let (adm, kai) = (app.member("adm@example.test", Role::Admin).await, app.member("kai@example.test", Role::Member).await);
        let arguments = json!({ "text": "x" });
        let mias = app.client(&app.token(mia, &READ_WRITE).await);
        let id = waits(&call(&mias, &arguments, None).await);

        let (status, problem) = decide(&app, &api_token(&app, mia).await, &id, "approve").await;
        assert_eq!((status, &problem["code"]), (403, &json!("not_an_approver")), "she sees it, she may not");
        let browser = app.signed_in(EMAIL).await;
        let page = browser.get(&format!("/approvals/{id}")).await.text();
        assert!(!page.contains("Approve once"), "{page}");
        assert!(page.contains("This call waits for a decision") && page.contains("<dd>An admin"), "{page}");
        let other = browser.get("/account/password").await.hidden("form_token");
        let forced = browser.post(&format!("/approvals/{id}"), &[("form_token", &other), ("decision", "approve")]).await;
        assert_eq!(forced.status.as_u16(), 403, "{}", forced.text());
        let stranger = api_token(&app, kai).await;
        assert_eq!(decide(&app, &stranger, &id, "approve").await.0, 404, "it is none of his");
        assert_eq!(rest(&app, &stranger, Method::GET, &format!("/approvals/{id}")).await.status.as_u16(), 404);
        let inbox = async |token: &str| rest(&app, token, Method::GET, "/approvals/inbox").await.json()["waiting"].clone();
        let admin = api_token(&app, adm).await;
        assert_eq!((inbox(&stranger).await, inbox(&admin).await), (json!(0), json!(1)));
        assert_eq!(decide(&app, &admin, &id, "approve").await.0, 200);
        assert_eq!(inbox(&admin).await, json!(0));

        // An admin's own agent: a second person.
        let own = app.client(&app.token(adm, &READ_WRITE).await);
        let hers = waits(&call(&own, &arguments, None).await);
        assert_eq!(decide(&app, &admin, &hers, "approve").await.0, 403);
        assert_eq!(upstream.log().executions("echo"), 0);

        // Who approved has to be allowed to when it is used.
        let mut tx = app.db.write().await.unwrap();
        tx.members().set_role(app.organization, adm, Role::Member, SystemClock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_ne!(waits(&call(&mias, &arguments, Some(&id)).await), id);
        assert_eq!(upstream.log().executions("echo"), 0);
        assert_eq!(audited(&app, "approval.use").await, 0);
        app.stop().await;
    }

    async fn the_token_that_asked_never_decides(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = world(&app, held("caller")).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let all = app.token(mia, &[Scope::McpRead, Scope::McpWrite, Scope::Api]).await;
        let client = app.client(&all);
        let id = waits(&call(&client, &json!({ "text": "x" }), None).await);
        let (status, problem) = decide(&app, &all, &id, "approve").await;
        assert_eq!((status, &problem["code"]), (403, &json!("not_an_approver")));
        let without = app.token(mia, &READ_WRITE).await;
        assert_eq!(decide(&app, &without, &id, "approve").await.0, 403, "without the scope `api`");
        assert_eq!(code(&call(&client, &json!({ "text": "x" }), Some(&id)).await), "approval_required");
        assert_eq!(upstream.log().executions("echo"), 0);
        assert_eq!(decide(&app, &api_token(&app, mia).await, &id, "approve").await.0, 200);
        assert_eq!(code(&call(&client, &json!({ "text": "x" }), Some(&id)).await), "it ran");
        app.stop().await;
    }

    async fn what_the_token_that_asked_makes_never_decides(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = world(&app, held("caller")).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let all = [Scope::McpRead, Scope::McpWrite, Scope::Api];
        let first = app.token(mia, &all).await;
        let make = async |with: &str| -> String {
            let body = json!({ "name": "made", "scopes": ["mcp:read", "mcp:write", "api"] }).to_string();
            let reply = app.client_at("/api/v1/tokens", Some(with)).send(Method::POST, json_headers(), body).await;
            reply.json()["token"].as_str().unwrap().to_owned()
        };
        let child = make(&first).await;
        let grandchild = make(&child).await;
        let sibling = make(&first).await;
        let line = [&first, &child, &grandchild, &sibling];
        for (index, asks) in line.into_iter().enumerate() {
            let arguments = json!({ "text": index.to_string() });
            let id = waits(&call(&app.client(asks), &arguments, None).await);
            for decides in line {
                assert_eq!(decide(&app, decides, &id, "approve").await.0, 403, "{index}");
            }
            let shown = rest(&app, decides_elsewhere(&line, index), Method::GET, &format!("/approvals/{id}")).await.json();
            assert_eq!(shown["may_decide"], false, "{shown}");
            assert_eq!(waits(&call(&app.client(asks), &arguments, Some(&id)).await), id);
        }
        assert_eq!(upstream.log().executions("echo"), 0);
        // A token that the person made by themselves is theirs.
        let id = waits(&call(&app.client(&child), &json!({ "text": "x" }), None).await);
        assert_eq!(decide(&app, &api_token(&app, mia).await, &id, "approve").await.0, 200);
        assert_eq!(code(&call(&app.client(&child), &json!({ "text": "x" }), Some(&id)).await), "it ran");
        app.stop().await;
    }

    async fn lists_leave_long_arguments_out_and_nobody_looks_through_very_long_ones(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = world(&app, held("caller")).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        let long = "x".repeat(100_000);
        let id = waits(&call(&client, &json!({ "text": long }), None).await);
        waits(&call(&client, &json!({ "text": "short" }), None).await);
        let token = api_token(&app, mia).await;
        let listed = rest(&app, &token, Method::GET, "/approvals").await;
        assert!(listed.body.len() < 10_000, "{}", listed.body.len());
        let listed = listed.json();
        let of = |id: &str, is: bool| -> Value {
            listed["items"].as_array().unwrap().iter().find(|it| (it["id"] == id) == is).cloned().unwrap()
        };
        assert_eq!((&of(&id, true)["arguments"], &of(&id, true)["shown_arguments"]), (&Value::Null, &Value::Null));
        assert_eq!(of(&id, false)["arguments"]["text"], "short");
        let read = rest(&app, &token, Method::GET, &format!("/approvals/{id}")).await.json();
        assert_eq!(read["arguments"]["text"], json!(long));
        let mut tx = app.db.single().await.unwrap();
        let rows = tx.approvals().list(app.organization, 10).await.unwrap();
        assert!(rows.iter().all(|row| row.sealed.0.is_empty()), "nothing of it is read for a list");
        drop(tx);
        let refused = call(&client, &json!({ "text": "x".repeat(300_000) }), None).await;
        assert_eq!(code(&refused), "invalid_arguments");
        assert!(refused.to_string().contains("approval.max_argument_bytes"), "{refused}");
        assert_eq!(upstream.log().executions("echo"), 0);
        app.stop().await;
    }

    async fn what_a_personal_connection_is_called_with_is_its_owners_alone(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let mia = app.member(EMAIL, Role::Member).await;
        let mine = app
            .add_with("diary", &upstream.url(), |connection| connection.owner = ConnectionOwner::Member(mia))
            .await;
        allow_personal_connections(&app).await;
        assert!(app.broker.check(app.organization, mine, None).await.unwrap().failed.is_none());
        let now = SystemClock.now();
        let own = json!([{ "pattern": "~diary.echo", "action": "require_approval" }]);
        let mut tx = app.db.write().await.unwrap();
        assert!(tx.policies().put(app.organization, PolicyLayer::Member(mia), &own, 0, now).await.unwrap());
        tx.commit().await.unwrap();
        app.broker.refresh_snapshots().await.unwrap();
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        let asked = json!({ "name": "~diary.echo", "arguments": { "text": "dear diary" } });
        let id = waits(&client.call("execute_capability", asked).await);
        let owner = api_token(&app, app.owner).await;
        assert_eq!(rest(&app, &owner, Method::GET, &format!("/approvals/{id}")).await.status.as_u16(), 404);
        assert!(!rest(&app, &owner, Method::GET, "/approvals").await.text().contains("diary"));
        let mias = api_token(&app, mia).await;
        assert!(rest(&app, &mias, Method::GET, "/approvals").await.text().contains("dear diary"));
        // A rule of the organization that wants an admin shows it to them: they are asked.
        put_rules(&app, &json!([{ "pattern": "~diary.echo", "action": "require_approval", "approvers": "admins" }]), 0).await;
        let asked = json!({ "name": "~diary.echo", "arguments": { "text": "for admins" } });
        let id = waits(&client.call("execute_capability", asked).await);
        assert_eq!(rest(&app, &owner, Method::GET, &format!("/approvals/{id}")).await.status.as_u16(), 200);
        app.stop().await;
    }

    async fn rules_that_grew_stricter_count_and_arguments_are_checked_first(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = world(&app, held("caller")).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        assert_eq!(code(&call(&client, &json!({ "text": 1 }), None).await), "invalid_arguments");
        assert_eq!(audited(&app, "approval.request").await, 0);
        let id = waits(&call(&client, &json!({ "text": "x" }), None).await);
        assert_eq!(decide(&app, &api_token(&app, mia).await, &id, "approve").await.0, 200);
        put_rules(&app, &held("admins"), 1).await;
        assert_ne!(waits(&call(&client, &json!({ "text": "x" }), Some(&id)).await), id);
        let block = json!([{ "pattern": "demo.echo", "action": "block" }]);
        put_rules(&app, &block, 2).await;
        assert_eq!(code(&call(&client, &json!({ "text": "x" }), Some(&id)).await), "policy_blocked");
        assert_eq!(upstream.log().executions("echo"), 0);
        app.stop().await;
    }

    async fn approvals_survive_a_restart_sealed(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = world(&app, held("caller")).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let (token, person) = (app.token(mia, &READ_WRITE).await, api_token(&app, mia).await);
        let arguments = json!({ "text": "a-canary-of-arguments" });
        let id = waits(&call(&app.client(&token), &arguments, None).await);
        let keyring = Arc::clone(&app.keyring);
        app.stop().await;

        let stored = {
            let mut tx = database.db.read().await.unwrap();
            let organization = tx.organizations().list().await.unwrap()[0].id;
            let mut found = Vec::new();
            for row in tx.approvals().list(organization, 10).await.unwrap() {
                found.extend(tx.approvals().find(organization, row.id).await.unwrap());
            }
            found
        };
        let bytes = format!("{stored:?} {}", String::from_utf8_lossy(&stored[0].sealed.0));
        assert!(!bytes.contains("a-canary-of-arguments"), "{bytes}");

        let options = AppOptions { keyring: Some(keyring), ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options).await;
        let (status, approval) = decide(&app, &person, &id, "approve").await;
        assert_eq!((status, &approval["arguments"]), (200, &arguments));
        assert_eq!(code(&call(&app.client(&token), &arguments, Some(&id)).await), "it ran");
        assert_eq!(upstream.log().executions("echo"), 1);
        app.stop().await;
    }

    async fn direct_tools_take_the_approval_beside_their_arguments(database) {
        let app = App::start(database.db.clone()).await;
        let upstream = ReferenceUpstream::start().await;
        let id = app.add_with("demo", &upstream.url(), |connection| connection.switches.expose_directly = true).await;
        app.grant_everyone(id).await;
        app.broker.check(app.organization, id, None).await.unwrap();
        put_rules(&app, &held("caller"), 0).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let token = app.token(mia, &READ_WRITE).await;
        let direct = app.client_at("/mcp/connections/demo", Some(&token));
        let params = |approval: Option<&str>| {
            let meta = approval.map_or(json!({}), |id| json!({ "switchboard/approval_id": id }));
            json!({ "name": "echo", "arguments": { "text": "x" }, "_meta": meta })
        };
        let asked = waits(&direct.modern("tools/call", params(None)).await.result());
        assert_eq!(decide(&app, &api_token(&app, mia).await, &asked, "approve").await.0, 200);
        assert_eq!(code(&direct.legacy("tools/call", params(Some(&asked))).await.result()), "it ran");
        assert_eq!(upstream.log().executions("echo"), 1);
        app.stop().await;
    }

    async fn nobody_fills_the_inbox(database) {
        let approval = ApprovalSettings { max_waiting: 2, ..ApprovalSettings::default() };
        let settings = Settings { approval, ..Settings::default() };
        let app = App::start_with(database.db.clone(), AppOptions { settings, ..AppOptions::default() }).await;
        world(&app, held("caller")).await;
        let mia = app.member(EMAIL, Role::Member).await;
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        for text in ["one", "two"] {
            waits(&call(&client, &json!({ "text": text }), None).await);
        }
        let third = call(&client, &json!({ "text": "three" }), None).await;
        assert_eq!(code(&third), "rate_limited");
        assert!(third.to_string().contains("approval.max_waiting"), "{third}");
        app.stop().await;
    }

    async fn a_page_of_another_site_decides_nothing(database) {
        let app = App::start(database.db.clone()).await;
        world(&app, held("caller")).await;
        let mia = app.member_with_password(EMAIL, Role::Member).await;
        let id = waits(&call(&app.client(&app.token(mia, &READ_WRITE).await), &json!({ "text": "\u{202e}x" }), None).await);
        let path = format!("/approvals/{id}");
        let nobody = app.browser().get(&path).await;
        assert!(nobody.location().starts_with("/sign-in?return_to=%2Fapprovals%2Fapr_"));
        let browser = app.signed_in(EMAIL).await;
        let page = browser.get(&path).await;
        assert!(page.text().contains("⟨U+202E⟩") && !page.text().contains('\u{202e}'), "{}", page.text());
        assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
        let forged = browser.post(&path, &[("decision", "approve")]).await;
        assert_eq!(forged.status.as_u16(), 400);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
        let body = format!("form_token={}&decision=approve", page.hidden("form_token"));
        assert_eq!(browser.send(Method::POST, &path, headers, body).await.status.as_u16(), 403);
        let read: Value = browser.get(&format!("/api/v1{path}")).await.json();
        assert_eq!(read["status"], "pending");
        app.stop().await;
    }

    async fn of_two_who_decide_at_once_one_does(database) {
        let app = App::start(database.db.clone()).await;
        let replica = App::start(database.db.clone()).await;
        let upstream = world(&app, held("admins")).await;
        replica.broker.refresh_snapshots().await.unwrap();
        let mia = app.member(EMAIL, Role::Member).await;
        let (ana, bob) = (app.member("ana@example.test", Role::Admin).await, app.member("bob@example.test", Role::Admin).await);
        let (anas, bobs) = (api_token(&app, ana).await, api_token(&app, bob).await);
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        let mut ran = 0;
        for round in 0..6 {
            let arguments = json!({ "text": format!("round {round}") });
            let id = waits(&call(&client, &arguments, None).await);
            let (yes, no) = tokio::join!(decide(&app, &anas, &id, "approve"), decide(&replica, &bobs, &id, "decline"));
            // What was approved can be declined until it is used, so that both may have come through, in this order.
            let outcome = call(&client, &arguments, Some(&id)).await;
            match (yes.0, no.0) {
                (200, 200) | (409, 200) => assert_eq!(code(&outcome), "approval_declined", "{yes:?} {no:?}"),
                (200, 409) => {
                    assert_eq!(code(&outcome), "it ran", "{no:?}");
                    ran += 1;
                }
                other => panic!("{other:?}: {yes:?} {no:?}"),
            }
            let (again, too_late) = tokio::join!(decide(&app, &anas, &id, "approve"), decide(&replica, &bobs, &id, "approve"));
            assert_eq!((again.0, too_late.0), (409, 409), "decided is decided");
        }
        assert_eq!(upstream.log().executions("echo"), ran);
        replica.stop().await;
        app.stop().await;
    }
}
