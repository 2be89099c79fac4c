//! Invitations, roles, and how membership ends: at the page, the API and the database.

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use switchboard_domain::{MemberId, Role, Scope};
use switchboard_storage::MemberStatus;
use switchboard_testkit::{
    app::{App, McpReply, PASSWORD},
    on_both,
};

const ALL: [Scope; 3] = [Scope::McpRead, Scope::McpWrite, Scope::Api];

async fn ask(app: &App, token: &str, method: Method, path: &str, body: Value) -> McpReply {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.client_at(&format!("/api/v1{path}"), Some(token)).send(method, headers, body).await
}

/// The path of a new invitation's link.
async fn invite(app: &App, token: &str, body: Value) -> String {
    let created = ask(app, token, Method::POST, "/invitations", body).await;
    assert_eq!(created.status.as_u16(), 201, "{}", created.text());
    let url = created.json()["url"].as_str().unwrap().to_owned();
    url[url.find("/invitations/").unwrap()..].to_owned()
}

async fn refused(app: &App, token: &str, method: Method, path: &str, body: Value) -> (u16, String) {
    let reply = ask(app, token, method, path, body).await;
    (reply.status.as_u16(), reply.json()["code"].as_str().unwrap_or_default().to_owned())
}

on_both! {
    async fn an_invitation_lets_one_person_in_once(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let team = ask(&app, &owner, Method::POST, "/teams", json!({ "name": "Ops" })).await.json();
        let body = json!({ "email": "New@example.test", "role": "admin", "teams": [team["id"]] });
        let path = invite(&app, &owner, body).await;
        let browser = app.browser();
        for _ in 0..2 {
            let page = browser.get(&path).await;
            assert_eq!(page.status.as_u16(), 200, "opening it burns nothing");
            assert!(page.text().contains("New@example.test"));
        }
        let short = browser.post(&path, &[("name", " "), ("password", "short")]).await;
        assert_eq!(short.status.as_u16(), 422);
        assert!(short.text().contains("name-error") && short.text().contains("password-error"));
        let joined = browser.post(&path, &[("name", "New One"), ("password", PASSWORD)]).await;
        assert_eq!(joined.status.as_u16(), 303, "{}", joined.text());
        let members = browser.get("/api/v1/members").await.json();
        let find = |email: &str| members["items"].as_array().unwrap().iter().find(|it| it["email"] == email).cloned();
        let new = find("New@example.test").unwrap();
        assert_eq!((&new["role"], &new["teams"][0], &new["display_name"]), (&json!("admin"), &team["id"], &json!("New One")));
        for page in [browser.get(&path).await, browser.post(&path, &[("name", "X"), ("password", PASSWORD)]).await] {
            assert_eq!(page.status.as_u16(), 410);
        }
        let listed = ask(&app, &owner, Method::GET, "/invitations", Value::Null).await.json();
        assert_eq!(listed["items"][0]["status"], "accepted");
        assert!(!listed.to_string().contains("swb_inv_"), "the link is shown once");
        let again = json!({ "email": "new@EXAMPLE.test" });
        assert_eq!(refused(&app, &owner, Method::POST, "/invitations", again).await, (409, "email_taken".into()));
        app.stop().await;
    }

    async fn an_invitation_that_is_over_lets_nobody_in(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let admin = app.member("adm@example.test", Role::Admin).await;
        let admin = app.token(admin, &ALL).await;
        let body = || json!({ "email": "new@example.test" });
        let first = invite(&app, &owner, body()).await;
        let second = invite(&app, &admin, body()).await;
        let form = [("name", "New"), ("password", PASSWORD)];
        assert_eq!(app.browser().post(&first, &form).await.status.as_u16(), 410, "replaced by the second");
        let listed = ask(&app, &admin, Method::GET, "/invitations", Value::Null).await.json();
        let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(ask(&app, &admin, Method::DELETE, &format!("/invitations/{id}"), Value::Null).await.status.as_u16(), 204);
        assert_eq!(app.browser().post(&second, &form).await.status.as_u16(), 410, "taken back");
        assert_eq!(app.browser().get("/invitations/swb_inv_made_up").await.status.as_u16(), 404);
        let foreign = json!({ "email": "x@example.test", "role": "owner" });
        assert_eq!(refused(&app, &admin, Method::POST, "/invitations", foreign).await, (409, "owner_needed".into()));
        let mut tx = app.db.read().await.unwrap();
        assert!(tx.members().find_by_email(app.organization, "new@example.test").await.unwrap().is_none());
        drop(tx);
        app.stop().await;
    }

    async fn owners_answer_to_owners_and_the_last_one_stays(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let admin_id = app.member("adm@example.test", Role::Admin).await;
        let admin = app.token(admin_id, &ALL).await;
        let (me, other) = (format!("/members/{}", app.owner), format!("/members/{admin_id}"));
        for edit in [json!({ "role": "member" }), json!({ "status": "suspended" })] {
            assert_eq!(refused(&app, &admin, Method::PATCH, &me, edit.clone()).await, (409, "owner_needed".into()));
            assert_eq!(refused(&app, &owner, Method::PATCH, &me, edit).await, (409, "last_owner".into()));
        }
        assert_eq!(refused(&app, &admin, Method::DELETE, &me, Value::Null).await, (409, "owner_needed".into()));
        assert_eq!(refused(&app, &owner, Method::DELETE, &me, Value::Null).await, (409, "last_owner".into()));
        let up = json!({ "role": "owner" });
        assert_eq!(refused(&app, &admin, Method::PATCH, &other, up.clone()).await, (409, "owner_needed".into()));
        assert_eq!(ask(&app, &owner, Method::PATCH, &other, up).await.json()["role"], "owner");
        assert_eq!(ask(&app, &owner, Method::DELETE, &me, Value::Null).await.status.as_u16(), 204, "one is left");
        assert_eq!(ask(&app, &owner, Method::GET, "/organization", Value::Null).await.status.as_u16(), 401);
        assert_eq!(refused(&app, &admin, Method::DELETE, &other, Value::Null).await, (409, "last_owner".into()));
        app.stop().await;
    }

    async fn a_change_that_can_not_be_put_on_record_is_not_made(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        for name in ["First", "Second"] {
            let made = ask(&app, &owner, Method::POST, "/teams", json!({ "name": name })).await;
            assert_eq!(made.status.as_u16(), 201);
        }
        let filter = switchboard_storage::AuditFilter { action: Some("team.create".into()), ..Default::default() };
        let mut tx = app.db.read().await.unwrap();
        let last = tx.audit().page(app.organization, &filter, 1).await.unwrap().remove(0);
        drop(tx);
        // There is no place after this one.
        let full = switchboard_storage::AuditEntry { seq: i64::MAX, ..last };
        app.db.append_audit(&[full]).await.unwrap();
        let answer = refused(&app, &owner, Method::POST, "/teams", json!({ "name": "Third" })).await;
        assert_eq!(answer, (503, "unavailable".into()));
        let teams = ask(&app, &owner, Method::GET, "/teams", Value::Null).await.json();
        assert_eq!(teams["items"].as_array().unwrap().len(), 2, "{teams}");
        app.stop().await;
    }

    async fn everything_of_a_removed_member_ends_on_every_replica(database) {
        let app = App::start(database.db.clone()).await;
        let second = switchboard_storage::Db::open(&database.options, switchboard_storage::Migrations::Require).await.unwrap();
        let options = switchboard_testkit::app::AppOptions { keyring: Some(app.keyring.clone()), ..Default::default() };
        let replica = App::start_with(second, options).await;
        let owner = app.token(app.owner, &ALL).await;
        let mia: MemberId = app.member_with_password("mia@example.test", Role::Admin).await;
        let token = replica.token(mia, &ALL).await;
        let browser = replica.signed_in("mia@example.test").await;
        assert_eq!(ask(&replica, &token, Method::GET, "/members", Value::Null).await.status.as_u16(), 200);
        let path = format!("/members/{mia}");
        assert_eq!(ask(&app, &owner, Method::DELETE, &path, Value::Null).await.status.as_u16(), 204);
        assert_eq!(browser.get("/api/v1/members").await.status.as_u16(), 401, "the session, at once");
        let started = std::time::Instant::now();
        while ask(&replica, &token, Method::GET, "/members", Value::Null).await.status.as_u16() != 401 {
            assert!(started.elapsed().as_secs() < 10, "the token still works");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(refused(&app, &owner, Method::PATCH, &path, json!({ "role": "admin" })).await.0, 404);
        let mut tx = app.db.read().await.unwrap();
        assert!(tx.members().password_hash(app.organization, mia).await.unwrap().is_none());
        assert!(tx.sessions().list(app.organization, mia, app.broker.clock().now()).await.unwrap().is_empty());
        drop(tx);
        let back = invite(&app, &owner, json!({ "email": "mia@example.test" })).await;
        let joined = app.browser().post(&back, &[("name", "Mia"), ("password", PASSWORD)]).await;
        assert_eq!(joined.status.as_u16(), 303, "whoever left can be invited again");
        assert_eq!(ask(&app, &token, Method::GET, "/members", Value::Null).await.status.as_u16(), 401, "the old token is over");
        replica.stop().await;
        app.stop().await;
    }

    async fn an_invitation_ends_with_the_right_of_who_made_it(database) {
        let app = App::start(database.db.clone()).await;
        let owner = app.token(app.owner, &ALL).await;
        let form = [("name", "Back"), ("password", PASSWORD)];
        let suspended = json!({ "status": "suspended" });
        for (at, end) in [None, Some(suspended), Some(json!({ "role": "member" }))].into_iter().enumerate() {
            let id = app.member(&format!("adm{at}@example.test"), Role::Admin).await;
            let admin = app.token(id, &ALL).await;
            let body = json!({ "email": format!("back{at}@example.test"), "role": "admin" });
            let path = invite(&app, &admin, body).await;
            let member = format!("/members/{id}");
            let ended = match &end {
                None => ask(&app, &owner, Method::DELETE, &member, Value::Null).await,
                Some(edit) => ask(&app, &owner, Method::PATCH, &member, edit.clone()).await,
            };
            assert!(ended.status.is_success(), "{}", ended.text());
            if end.is_some() {
                // What he lost comes back; what he asked others in with does not.
                let back = json!({ "status": "active", "role": "admin" });
                assert!(ask(&app, &owner, Method::PATCH, &member, back).await.status.is_success());
            }
            assert_eq!(app.browser().post(&path, &form).await.status.as_u16(), 410, "{end:?}");
            let mut tx = app.db.read().await.unwrap();
            assert!(tx.members().find_by_email(app.organization, &format!("back{at}@example.test")).await.unwrap().is_none());
        }
        let program = json!({ "name": "robot", "role": "admin" });
        let account = ask(&app, &owner, Method::POST, "/service-accounts", program).await.json();
        let token = json!({ "name": "robot", "scopes": ["api"], "service_account": account["id"] });
        let token = ask(&app, &owner, Method::POST, "/tokens", token).await.json()["token"].as_str().unwrap().to_owned();
        let good = invite(&app, &token, json!({ "email": "good@example.test", "role": "admin" })).await;
        assert_eq!(app.browser().post(&good, &form).await.status.as_u16(), 303, "while it may invite");
        let bad = invite(&app, &token, json!({ "email": "bad@example.test", "role": "admin" })).await;
        let disabled = ask(&app, &owner, Method::PATCH, &format!("/service-accounts/{}", account["id"].as_str().unwrap()), json!({ "status": "suspended" })).await;
        assert!(disabled.status.is_success(), "{}", disabled.text());
        assert_eq!(app.browser().post(&bad, &form).await.status.as_u16(), 410);
        // Made at the very moment, so that nothing revoked it: looked at again when it is used.
        let id = app.member("adm@example.test", Role::Admin).await;
        let admin = app.token(id, &ALL).await;
        let path = invite(&app, &admin, json!({ "email": "late@example.test", "role": "admin" })).await;
        let mut tx = app.db.write().await.unwrap();
        tx.members().set_role(app.organization, id, Role::Member, app.broker.clock().now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(app.browser().post(&path, &form).await.status.as_u16(), 410);
        app.stop().await;
    }

    async fn who_was_suspended_is_nobody_though_their_tokens_stand(database) {
        let app = App::start(database.db.clone()).await;
        let mia = app.member("mia@example.test", Role::Member).await;
        let token = app.token(mia, &ALL).await;
        let status = async || app.client(&token).modern("tools/list", json!({})).await.status.as_u16();
        assert_eq!(status().await, 200);
        let mut tx = database.db.write().await.unwrap();
        let now = app.broker.clock().now();
        assert!(tx.members().set_status(app.organization, mia, MemberStatus::Suspended, now).await.unwrap());
        tx.commit().await.unwrap();
        app.broker.refresh_snapshots().await.unwrap();
        assert_eq!(status().await, 401);
        assert_eq!(ask(&app, &token, Method::GET, "/connections", json!(null)).await.status.as_u16(), 401);
        app.stop().await;
    }
}
