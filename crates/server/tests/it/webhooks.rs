//! Webhooks, at a receiver of their own: signed, tried again with the same id, through a restart; never what a call is
//! about.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use switchboard_domain::{Clock as _, FixedClock, Role, Scope};
use switchboard_testkit::{
    app::{App, AppOptions},
    database::TestDatabase,
    on_both,
    upstream::ReferenceUpstream,
};

use crate::support::{READ_WRITE, json_headers};

/// What a receiver was sent.
#[derive(Clone)]
struct Sent {
    headers: HeaderMap,
    body: Bytes,
}

impl Sent {
    fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn is_signed(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let header = |name: &str| self.headers[name].to_str().unwrap().to_owned();
        let text = format!("{}.{}.", self.id(), header("webhook-timestamp"));
        let hash = switchboard_vault::hmac(&key, &[text.as_bytes(), &self.body]);
        header("webhook-signature") == format!("v1,{}", STANDARD.encode(hash))
    }
}

#[derive(Clone)]
struct Receiver {
    answers: Arc<AtomicU16>,
    sent: Arc<Mutex<Vec<Sent>>>,
    url: String,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { answers: Arc::new(AtomicU16::new(204)), sent: Arc::default(), url };
        let router = Router::new().route("/hook", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        receiver
    }

    fn answer(&self, status: u16) {
        self.answers.store(status, Ordering::Relaxed);
    }

    fn of(&self, event: &str) -> Vec<Sent> {
        self.sent.lock().iter().filter(|sent| sent.json()["type"] == event).cloned().collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.sent.lock().push(Sent { headers, body });
    StatusCode::from_u16(receiver.answers.load(Ordering::Relaxed)).unwrap()
}

async fn start(database: &TestDatabase, clock: &Arc<FixedClock>) -> App {
    let options = AppOptions { clock: Some(clock.clone()), ..AppOptions::default() };
    App::start_with(database.db.clone(), options).await
}

async fn rest(app: &App, method: Method, path: &str, body: Value) -> (u16, Value) {
    let token = app.token(app.owner, &[Scope::Api]).await;
    let client = app.client_at(&format!("/api/v1{path}"), Some(&token));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = client.send(method, json_headers(), body).await;
    (reply.status.as_u16(), if reply.body.is_empty() { Value::Null } else { reply.json() })
}

/// Id and secret.
async fn add(app: &App, receiver: &Receiver, events: &[&str]) -> (String, String) {
    let body = json!({ "name": "ours", "url": receiver.url, "events": events });
    let (status, created) = rest(app, Method::POST, "/webhooks", body).await;
    assert_eq!(status, 201, "{created}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&created["webhook"]["id"]), text(&created["secret"]))
}

/// Tries, as the background does, until this many were sent.
async fn until(app: &App, receiver: &Receiver, event: &str, count: usize) -> Vec<Sent> {
    for _ in 0..200 {
        app.broker.deliver_due().await.unwrap();
        let sent = receiver.of(event);
        if sent.len() >= count {
            return sent;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{event} was not sent {count} times");
}

async fn held(app: &App) -> ReferenceUpstream {
    let upstream = ReferenceUpstream::start().await;
    app.connect("demo", &upstream.url()).await;
    let rules = json!([{ "pattern": "demo.echo", "action": "require_approval" }]);
    assert_eq!(rest(app, Method::PUT, "/policies", rules).await.0, 200);
    upstream
}

on_both! {
    async fn an_approval_is_announced_and_its_decision_too(database) {
        let clock = Arc::new(FixedClock::at_micros(database.clock.now().as_micros()));
        let app = start(&database, &clock).await;
        let receiver = Receiver::start().await;
        let upstream = held(&app).await;
        let (id, secret) = add(&app, &receiver, &["approval.requested", "approval.decided"]).await;
        receiver.answer(503);
        let mia = app.member("mia@example.test", Role::Member).await;
        let client = app.client(&app.token(mia, &READ_WRITE).await);
        let asked = client.execute("demo.echo", json!({ "text": "a canary of the arguments" })).await;
        let approval = asked["structuredContent"]["details"]["approval_id"].as_str().unwrap().to_owned();
        let first = until(&app, &receiver, "approval.requested", 1).await[0].clone();
        assert!(first.is_signed(&secret) && !first.is_signed("whsec_AAAA"));
        let told = first.json();
        assert_eq!((&told["data"]["id"], &told["data"]["capability"]), (&json!(approval), &json!("demo.echo")));
        assert!(told["data"]["url"].as_str().unwrap().ends_with(&format!("/approvals/{approval}")), "{told}");
        assert!(!told.to_string().contains("canary"), "{told}");
        let webhook = async || rest(&app, Method::GET, &format!("/webhooks/{id}"), Value::Null).await.1;
        while webhook().await["last_error"].is_null() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let shown = webhook().await;
        assert!(shown["last_error"].as_str().unwrap().contains("503") && shown["told_at"].is_null(), "{shown}");
        assert!(shown.get("secret").is_none(), "shown once: {shown}");
        app.stop().await;

        // It was not taken: the next process goes on, when its time has come.
        let app = start(&database, &clock).await;
        receiver.answer(200);
        app.broker.deliver_due().await.unwrap();
        assert_eq!(receiver.of("approval.requested").len(), 1, "not before its time");
        clock.advance(Duration::from_secs(60));
        let again = until(&app, &receiver, "approval.requested", 2).await[1].clone();
        assert_eq!((again.id(), again.body.clone()), (first.id(), first.body.clone()), "the same event");
        assert!(again.is_signed(&secret), "with the time of this try");
        assert_ne!(again.headers["webhook-timestamp"], first.headers["webhook-timestamp"]);
        clock.advance(Duration::from_secs(60));
        let kai = app.token(mia, &[Scope::Api]).await;
        let decide = app.client_at(&format!("/api/v1/approvals/{approval}/decline"), Some(&kai));
        assert_eq!(decide.send(Method::POST, HeaderMap::new(), "").await.status.as_u16(), 200);
        let decided = until(&app, &receiver, "approval.decided", 1).await[0].json();
        assert_eq!((&decided["data"]["status"], &decided["data"]["decided_by"]), (&json!("declined"), &json!(mia)));
        app.broker.deliver_due().await.unwrap();
        assert_eq!(receiver.of("approval.requested").len(), 2, "what was taken is not sent again");
        assert_eq!(upstream.log().executions("echo"), 0);
        app.stop().await;
    }

    async fn the_audit_log_is_brought_whole_and_in_order(database) {
        let clock = Arc::new(FixedClock::at_micros(database.clock.now().as_micros()));
        let app = start(&database, &clock).await;
        let receiver = Receiver::start().await;
        let team = async |name: &str| rest(&app, Method::POST, "/teams", json!({ "name": name })).await.0;
        assert_eq!(team("before").await, 201);
        let (id, secret) = add(&app, &receiver, &["audit.entries"]).await;
        receiver.answer(500);
        assert_eq!((team("one").await, team("two").await), (201, 201));
        until(&app, &receiver, "audit.entries", 1).await;
        receiver.answer(200);
        receiver.sent.lock().clear();
        assert_eq!(team("three").await, 201);
        clock.advance(Duration::from_secs(3600));
        let entries = async |wanted: &str| {
            for _ in 0..200 {
                app.broker.deliver_due().await.unwrap();
                let sent = receiver.of("audit.entries");
                assert!(sent.iter().all(|sent| sent.is_signed(&secret)));
                let bodies = sent.iter().map(Sent::json).collect::<Vec<_>>();
                if bodies.iter().any(|body| body.to_string().contains(wanted)) {
                    return bodies.iter().flat_map(|body| body["data"]["entries"].as_array().unwrap().clone()).collect::<Vec<_>>();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("{wanted} was not brought");
        };
        let brought = entries("\"three\"").await;
        let teams: Vec<&Value> = brought.iter().filter(|entry| entry["action"] == "team.create").collect();
        assert_eq!(teams.len(), 3, "what came after it was added, each once: {teams:?}");
        let seqs: Vec<i64> = teams.iter().map(|entry| entry["seq"].as_i64().unwrap()).collect();
        assert!(seqs.is_sorted() && teams[1]["previous_hash"] == teams[0]["hash"], "{seqs:?}");

        let (status, _) = rest(&app, Method::PATCH, &format!("/webhooks/{id}"), json!({ "enabled": false })).await;
        assert_eq!(status, 200);
        receiver.sent.lock().clear();
        assert_eq!(team("while it is off").await, 201);
        app.broker.deliver_due().await.unwrap();
        assert!(receiver.of("audit.entries").is_empty());
        rest(&app, Method::PATCH, &format!("/webhooks/{id}"), json!({ "enabled": true })).await;
        assert!(!entries("while it is off").await.is_empty(), "it goes on where it was");
        assert_eq!(rest(&app, Method::DELETE, &format!("/webhooks/{id}"), Value::Null).await.0, 204);
        app.stop().await;
    }

    async fn only_admins_add_webhooks_and_only_to_where_one_may_go(database) {
        let options = AppOptions { allow_private_networks: false, ..AppOptions::default() };
        let app = App::start_with(database.db.clone(), options).await;
        for (url, events) in [
            ("http://169.254.169.254/latest", json!(["audit.entries"])),
            ("http://127.0.0.1:1/hook", json!(["audit.entries"])),
            ("file:///etc/passwd", json!(["audit.entries"])),
            ("https://hooks.example.com/x", json!(["everything"])),
            ("https://hooks.example.com/x", json!([])),
        ] {
            let body = json!({ "name": "bad", "url": url, "events": events });
            let (status, refused) = rest(&app, Method::POST, "/webhooks", body).await;
            assert_eq!((status, &refused["code"]), (422, &json!("validation_failed")), "{url} {refused}");
        }
        let body = json!({ "name": "good", "url": "https://hooks.example.com/x?key=in-the-url", "events": ["audit.entries"] });
        assert_eq!(rest(&app, Method::POST, "/webhooks", body).await.0, 201);
        let (_, log) = rest(&app, Method::GET, "/audit?action=webhook.create&outcome=ok", Value::Null).await;
        assert_eq!(log["items"].as_array().unwrap().len(), 1);
        assert!(!log.to_string().contains("in-the-url"), "{log}");
        app.stop().await;
    }

    async fn a_collector_of_logs_gets_the_audit_log_as_otlp(database) {
        let clock = Arc::new(FixedClock::at_micros(database.clock.now().as_micros()));
        let app = start(&database, &clock).await;
        let collector = Receiver::start().await;
        let body = json!({ "name": "logs", "url": collector.url, "events": ["audit.entries"], "format": "otlp" });
        let mut wrong = body.clone();
        wrong["events"] = json!(["audit.entries", "approval.requested"]);
        assert_eq!(rest(&app, Method::POST, "/webhooks", wrong).await.1["code"], "validation_failed");
        let (status, created) = rest(&app, Method::POST, "/webhooks", body).await;
        assert_eq!((status, &created["webhook"]["format"]), (201, &json!("otlp")), "{created}");
        collector.answer(200);
        assert_eq!(rest(&app, Method::POST, "/teams", json!({ "name": "one" })).await.0, 201);
        let refused = rest(&app, Method::POST, "/teams", json!({ "name": "one" })).await;
        assert_eq!(refused.0, 409, "{}", refused.1);
        let mut records: Vec<Value> = Vec::new();
        for _ in 0..200 {
            app.broker.deliver_due().await.unwrap();
            let sent: Vec<Value> = collector.sent.lock().iter().map(Sent::json).collect();
            records = sent
                .iter()
                .flat_map(|request| request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone())
                .filter(|record| record["eventName"] == "switchboard.team.create")
                .collect();
            if records.len() >= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(records.len(), 2, "both are on record: {records:?}");
        let severities: Vec<&Value> = records.iter().map(|record| &record["severityText"]).collect();
        assert!(severities.contains(&&json!("INFO")) && severities.contains(&&json!("WARN")), "{records:?}");
        for record in &records {
            assert!(record["timeUnixNano"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000_000_000);
            let entry: Value = serde_json::from_str(record["body"]["stringValue"].as_str().unwrap()).unwrap();
            assert!(entry["hash"].is_string() && entry["action"] == "team.create", "the whole entry: {entry}");
            let attributes = record["attributes"].as_array().unwrap();
            assert!(attributes.iter().any(|it| it["key"] == "switchboard.audit.outcome"), "{record}");
        }
        app.stop().await;
    }
}
