//! Held calls that wait for the decision instead of being called again, where their client asks for that; and clients that
//! can send their person to the page where it is taken.

use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use switchboard_broker::{ApprovalSettings, Settings};
use switchboard_domain::{ConnectionId, MemberId, Role, Scope};
use switchboard_storage::PolicyLayer;
use switchboard_testkit::{
    app::{App, AppOptions, McpClient, McpReply},
    database::TestDatabase,
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::READ_WRITE;

struct World {
    app: App,
    upstream: ReferenceUpstream,
    connection: ConnectionId,
    mia: MemberId,
    client: McpClient,
}

async fn world(database: &TestDatabase, max_wait: Duration) -> World {
    let approval = ApprovalSettings { max_wait, ..ApprovalSettings::default() };
    let settings = Settings { approval, ..Settings::default() };
    let app = App::start_with(database.db.clone(), AppOptions { settings, ..AppOptions::default() }).await;
    let upstream = ReferenceUpstream::start().await;
    let connection = app.connect("demo", &upstream.url()).await;
    let rules = json!([{ "pattern": "demo.echo", "action": "require_approval", "approvers": "caller" }]);
    let mut tx = app.db.write().await.unwrap();
    let now = switchboard_domain::Timestamp::from_micros(1);
    tx.policies().put(app.organization, PolicyLayer::Organization, &rules, 0, now).await.unwrap();
    tx.commit().await.unwrap();
    app.broker.refresh_snapshots().await.unwrap();
    let mia = app.member("mia@example.test", Role::Member).await;
    let client = app.client(&app.token(mia, &READ_WRITE).await);
    World { app, upstream, connection, mia, client }
}

fn asked(text: &str) -> Value {
    json!({ "name": "execute_capability", "arguments": { "name": "demo.echo", "arguments": { "text": text } } })
}

fn code(result: &Value) -> &str {
    result["structuredContent"]["code"].as_str().unwrap_or("it ran")
}

/// The one that waits, as soon as there is one.
async fn inbox(app: &App, member: MemberId) -> String {
    let client = app.client_at("/api/v1/approvals", Some(&app.token(member, &[Scope::Api]).await));
    for _ in 0..400 {
        let listed = client.send(Method::GET, HeaderMap::new(), "").await.json();
        let waiting = listed["items"].as_array().unwrap().iter().find(|it| it["status"] == "pending");
        if let Some(found) = waiting {
            return found["id"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing waits");
}

async fn decide(app: &App, member: MemberId, id: &str, verb: &str) {
    let path = format!("/api/v1/approvals/{id}/{verb}");
    let client = app.client_at(&path, Some(&app.token(member, &[Scope::Api]).await));
    let reply = client.send(Method::POST, HeaderMap::new(), "").await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.json());
}

/// Messages of a stream of events.
fn messages(reply: &McpReply) -> Vec<Value> {
    let text = String::from_utf8_lossy(&reply.body);
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

const LONG: Duration = Duration::from_secs(120);

on_both! {
    async fn a_call_waits_for_the_decision_and_then_runs_once(database) {
        let world = world(&database, LONG).await;
        let patient = world.client.clone().with_header("switchboard-wait", "60");
        let decided = async {
            let id = inbox(&world.app, world.mia).await;
            assert_eq!(world.upstream.log().executions("echo"), 0, "it waits");
            decide(&world.app, world.mia, &id, "approve").await;
        };
        let (reply, ()) = tokio::join!(patient.modern("tools/call", asked("one")), decided);
        let result = reply.result();
        assert!(code(&result) == "it ran" && result.to_string().contains("one"), "{result}");
        assert_eq!(world.upstream.log().executions("echo"), 1);
        // Declined is told at once, too; `_meta` says it as well; the older generation waits as well.
        let mut two = asked("two");
        two["_meta"] = json!({ "switchboard/wait": 60 });
        let declined = async {
            let id = inbox(&world.app, world.mia).await;
            decide(&world.app, world.mia, &id, "decline").await;
        };
        let (reply, ()) = tokio::join!(world.client.legacy("tools/call", two), declined);
        assert_eq!(code(&reply.result()), "approval_declined");
        assert_eq!(world.upstream.log().executions("echo"), 1);
        world.app.stop().await;
    }

    async fn whose_token_ended_meanwhile_runs_nothing(database) {
        let world = world(&database, LONG).await;
        let other = world.app.member("kai@example.test", Role::Member).await;
        let rules = json!([{ "pattern": "demo.echo", "action": "require_approval", "approvers": "admins" }]);
        let mut tx = world.app.db.write().await.unwrap();
        let now = switchboard_domain::Timestamp::from_micros(1);
        assert!(tx.policies().put(world.app.organization, PolicyLayer::Organization, &rules, 1, now).await.unwrap());
        tx.commit().await.unwrap();
        world.app.broker.refresh_snapshots().await.unwrap();
        let (token, id) = world.app.token_for(world.mia, &READ_WRITE, None, None).await;
        let kais = world.app.token(other, &READ_WRITE).await;
        let patient = |token: &str| world.app.client(token).with_header("switchboard-wait", "60");
        let (revoked, removed) = (patient(&token), patient(&kais));
        let decided = async {
            let held = inbox(&world.app, world.app.owner).await;
            world.app.revoke(id).await;
            decide(&world.app, world.app.owner, &held, "approve").await;
        };
        let (reply, ()) = tokio::join!(revoked.modern("tools/call", asked("one")), decided);
        assert_eq!(code(&reply.result()), "approval_required", "{}", reply.json());
        let decided = async {
            let held = inbox(&world.app, world.app.owner).await;
            let api = world.app.token(world.app.owner, &[Scope::Api]).await;
            let path = format!("/api/v1/members/{other}");
            let gone = world.app.client_at(&path, Some(&api)).send(Method::DELETE, HeaderMap::new(), "").await;
            assert_eq!(gone.status.as_u16(), 204, "{}", gone.text());
            decide(&world.app, world.app.owner, &held, "approve").await;
        };
        let (reply, ()) = tokio::join!(removed.modern("tools/call", asked("two")), decided);
        assert_eq!(code(&reply.result()), "approval_required", "{}", reply.json());
        assert_eq!(world.upstream.log().executions("echo"), 0);
        world.app.stop().await;
    }

    async fn a_decision_on_another_replica_ends_the_waiting(database) {
        let world = world(&database, LONG).await;
        let replica = App::start(database.db.clone()).await;
        let patient = world.client.clone().with_header("switchboard-wait", "60");
        let decided = async {
            let id = inbox(&world.app, world.mia).await;
            decide(&replica, world.mia, &id, "approve").await;
        };
        let (reply, ()) = tokio::join!(patient.modern("tools/call", asked("one")), decided);
        assert_eq!(code(&reply.result()), "it ran");
        assert_eq!(world.upstream.log().executions("echo"), 1);
        replica.stop().await;
        world.app.stop().await;
    }

    async fn who_waits_too_long_is_told_what_others_are_told_at_once(database) {
        let world = world(&database, Duration::from_millis(50)).await;
        let patient = world.client.clone().with_header("switchboard-wait", "3600");
        let reply = patient.modern("tools/call", asked("one")).await.result();
        assert_eq!(code(&reply), "approval_required", "the operator's limit counts: {reply}");
        let id = reply["structuredContent"]["details"]["approval_id"].as_str().unwrap().to_owned();
        decide(&world.app, world.mia, &id, "approve").await;
        let mut again = asked("one");
        again["arguments"]["approval_id"] = json!(id);
        assert_eq!(code(&world.client.modern("tools/call", again).await.result()), "it ran");
        for wrong in ["soon", "-1", "1.5", "99999999999"] {
            let reply = world.client.clone().with_header("switchboard-wait", wrong).modern("tools/call", asked("x")).await;
            assert_eq!(reply.error_code(), -32602, "{wrong}");
        }
        let unasked = world.client.modern("tools/call", asked("two")).await.result();
        assert_eq!(code(&unasked), "approval_required", "nobody waits who did not ask to");
        world.app.stop().await;
    }

    async fn meanwhile_the_client_hears_where_to_go(database) {
        let world = world(&database, LONG).await;
        let patient = world.client.clone().with_header("switchboard-wait", "60");
        let mut listens = asked("one");
        listens["_meta"] = json!({ "progressToken": "p-1" });
        let decided = async {
            let id = inbox(&world.app, world.mia).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            decide(&world.app, world.mia, &id, "approve").await;
            id
        };
        let (reply, id) = tokio::join!(patient.modern("tools/call", listens), decided);
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        let messages = messages(&reply);
        let (last, before) = messages.split_last().unwrap();
        assert!(!before.is_empty());
        for told in before {
            assert_eq!((&told["method"], &told["params"]["progressToken"]), (&json!("notifications/progress"), &json!("p-1")));
            assert!(told["params"]["message"].as_str().unwrap().contains(&format!("/approvals/{id}")), "{told}");
        }
        assert_eq!(code(&last["result"]), "it ran", "{last}");
        assert_eq!(world.upstream.log().executions("echo"), 1);
        world.app.stop().await;
    }

    async fn a_direct_tool_waits_as_well(database) {
        let world = world(&database, LONG).await;
        let path = format!("/api/v1/connections/{}", world.connection);
        let admin = world.app.client_at(&path, Some(&world.app.token(world.app.owner, &[Scope::Api]).await));
        let patched = admin.send(Method::PATCH, crate::support::json_headers(), json!({ "expose_directly": true }).to_string()).await;
        assert_eq!(patched.status.as_u16(), 200);
        let token = world.app.token_for(world.mia, &READ_WRITE, Some("/mcp/connections/demo"), None).await.0;
        let direct = world.app.client_at("/mcp/connections/demo", Some(&token)).with_header("switchboard-wait", "60");
        let decided = async {
            let id = inbox(&world.app, world.mia).await;
            decide(&world.app, world.mia, &id, "approve").await;
        };
        let call = json!({ "name": "echo", "arguments": { "text": "one" } });
        let (reply, ()) = tokio::join!(direct.modern("tools/call", call), decided);
        assert_eq!(code(&reply.result()), "it ran");
        assert_eq!(world.upstream.log().executions("echo"), 1);
        world.app.stop().await;
    }

    async fn a_client_that_can_sends_its_person_to_the_page(database) {
        let world = world(&database, LONG).await;
        let capable = |mut params: Value| {
            params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "url": {} } } });
            params
        };
        let asked_for = world.client.modern("tools/call", capable(asked("one"))).await.result();
        assert_eq!(asked_for["resultType"], "input_required", "{asked_for}");
        let question = &asked_for["inputRequests"]["switchboard/approve"];
        let id = inbox(&world.app, world.mia).await;
        assert_eq!((&question["method"], &question["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
        assert_eq!(question["params"]["url"], json!(world.app.url(&format!("/approvals/{id}"))), "{question}");
        let with = |action: &str, state: &Value| {
            let mut again = capable(asked("one"));
            again["inputResponses"] = json!({ "switchboard/approve": { "action": action } });
            again["requestState"] = state.clone();
            again
        };
        let state = &asked_for["requestState"];
        let refused = world.client.modern("tools/call", with("decline", state)).await.result();
        assert_eq!(code(&refused), "approval_required", "who does not go there is not waited for");
        let (reply, ()) = tokio::join!(
            world.client.modern("tools/call", with("accept", state)),
            async { decide(&world.app, world.mia, &id, "approve").await },
        );
        assert_eq!(code(&reply.result()), "it ran", "{}", reply.json());
        assert_eq!(world.upstream.log().executions("echo"), 1);
        // The state is no key: for somebody else, or for other arguments, it opens nothing.
        let kai = world.app.member("kai@example.test", Role::Member).await;
        let kais = world.app.client(&world.app.token(kai, &READ_WRITE).await);
        let other = kais.modern("tools/call", with("decline", state)).await.result();
        assert_ne!(other["structuredContent"]["details"]["approval_id"], json!(id), "{other}");
        assert_eq!(world.upstream.log().executions("echo"), 1);
        world.app.stop().await;
    }
}
