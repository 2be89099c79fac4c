//! What a client says about a request reaches the process that runs it, and a stream that was cut goes on, at whichever
//! process the client comes to.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use switchboard_domain::ProtocolEra;
use switchboard_testkit::{
    app::{App, AppOptions, McpClient, McpStream},
    conformance::ConformanceUpstream,
    on_both,
};

use crate::support::{READ_WRITE, json_headers};

/// Two processes on one database, a server with everything behind both, and a client of the same person at each.
struct World {
    one: App,
    two: App,
    _upstream: ConformanceUpstream,
    at_one: McpClient,
    at_two: McpClient,
}

impl World {
    async fn start(db: &switchboard_storage::Db, era: Option<ProtocolEra>) -> Self {
        let one = App::start(db.clone()).await;
        let options = AppOptions { keyring: Some(one.keyring.clone()), ..AppOptions::default() };
        let two = App::start_with(db.clone(), options).await;
        let upstream = ConformanceUpstream::start().await;
        let id = one
            .add_with("demo", &upstream.url(), |connection| {
                connection.switches.expose_directly = true;
                connection.era = era;
            })
            .await;
        one.grant_everyone(id).await;
        one.broker.check(one.organization, id, None).await.unwrap();
        two.broker.refresh_snapshots().await.unwrap();
        let token = one.token(one.owner, &READ_WRITE).await;
        let at_one = one.client_at("/mcp/connections/demo", Some(&token));
        let at_two = two.client_at("/mcp/connections/demo", Some(&token));
        Self { one, two, _upstream: upstream, at_one, at_two }
    }

    async fn stop(self) {
        self.one.stop().await;
        self.two.stop().await;
    }
}

/// Opens a session whose client can be asked; its headers.
async fn session(client: &McpClient) -> HeaderMap {
    let capabilities = json!({ "elicitation": { "form": {} } });
    let greeting = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": { "name": "t", "version": "1" } });
    let reply = client.legacy("initialize", greeting).await;
    let id = reply.header("mcp-session-id").expect("a session").to_owned();
    let mut headers = json_headers();
    headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
    headers.insert("mcp-session-id", HeaderValue::from_str(&id).unwrap());
    headers
}

async fn call(client: &McpClient, session: &HeaderMap, tool: &str, arguments: Value) -> McpStream {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": "mine" } });
    let body = json!({ "jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": params });
    client.stream(Method::POST, session.clone(), body.to_string()).await
}

/// Comes back to the stream that had this event.
async fn come_back(client: &McpClient, session: &HeaderMap, last: &str) -> McpStream {
    let mut headers = session.clone();
    headers.insert("last-event-id", HeaderValue::from_str(last).unwrap());
    client.stream(Method::GET, headers, "").await
}

async fn post(client: &McpClient, session: &HeaderMap, message: Value) -> u16 {
    client.send(Method::POST, session.clone(), message.to_string()).await.status.as_u16()
}

fn accepts(question: &Value) -> Value {
    let content = json!({ "username": "mia", "email": "mia@example.test" });
    json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": content } })
}

/// The messages up to the answer, which is the last one.
async fn rest_of(mut stream: McpStream) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some(message) = stream.next().await {
        messages.push(message);
    }
    messages
}

fn text_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

on_both! {
    async fn an_answer_reaches_the_call_that_asked_wherever_it_runs(database) {
        let world = World::start(&database.db, None).await;
        let session = session(&world.at_one).await;
        let mut stream = call(&world.at_one, &session, "test_elicitation", json!({ "message": "Who?" })).await;
        let question = stream.next().await.unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(post(&world.at_two, &session, accepts(&question)).await, 202);
        let messages = rest_of(stream).await;
        let answer = messages.last().unwrap();
        assert!(text_of(answer).contains("action=accept"), "{answer}");
        assert_eq!(answer["id"], "call");
        world.stop().await;
    }

    async fn a_cancellation_reaches_the_call_wherever_it_runs(database) {
        let world = World::start(&database.db, None).await;
        let session = session(&world.at_one).await;
        let client = world.at_one.clone();
        let headers = session.clone();
        let waiting = tokio::spawn(async move {
            let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "slow_compute", "arguments": { "seconds": 50 } } });
            client.send(Method::POST, headers, body.to_string()).await.json()
        });
        let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
        while !waiting.is_finished() {
            assert_eq!(post(&world.at_two, &session, cancelled.clone()).await, 202);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let answer = waiting.await.unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().contains("cancelled"), "{answer}");
        world.stop().await;
    }

    async fn a_stream_that_was_cut_goes_on_at_the_same_process_and_at_another(database) {
        let world = World::start(&database.db, None).await;
        for (begins, goes_on) in [(&world.at_one, &world.at_one), (&world.at_one, &world.at_two)] {
            let session = session(begins).await;
            let mut stream = call(begins, &session, "test_tool_with_progress", json!({})).await;
            let first = stream.next().await.unwrap();
            assert_eq!((&first["method"], &first["params"]["progressToken"]), (&json!("notifications/progress"), &json!("mine")));
            let last = stream.last_id.clone().expect("an id");
            drop(stream);
            let messages = rest_of(come_back(goes_on, &session, &last).await).await;
            let told: Vec<_> = messages.iter().filter_map(|it| it["params"]["progress"].as_f64()).collect();
            assert_eq!(told, [50.0, 100.0], "nothing twice, nothing lost: {messages:?}");
            let answer = messages.last().unwrap();
            assert_eq!(text_of(answer), "Progress test completed");

            // A question is told again to whoever missed it, and the answer comes on the stream taken up.
            let mut stream = call(begins, &session, "test_elicitation", json!({ "message": "Who?" })).await;
            let question = stream.next().await.unwrap();
            let id = stream.last_id.clone().unwrap();
            let (name, place) = id.rsplit_once('.').unwrap();
            let before = format!("{name}.{}", place.parse::<u64>().unwrap() - 1);
            drop(stream);
            let mut again = come_back(goes_on, &session, &before).await;
            assert_eq!(again.next().await.unwrap(), question);
            assert_eq!(post(goes_on, &session, accepts(&question)).await, 202);
            let messages = rest_of(again).await;
            assert!(text_of(messages.last().unwrap()).contains("action=accept"), "{messages:?}");
        }
        world.stop().await;
    }

    async fn nobody_takes_up_a_stream_of_another_session(database) {
        let world = World::start(&database.db, None).await;
        let (mine, other) = (session(&world.at_one).await, session(&world.at_one).await);
        let mut stream = call(&world.at_one, &mine, "test_elicitation", json!({ "message": "Who?" })).await;
        let question = stream.next().await.unwrap();
        let last = stream.last_id.clone().unwrap();
        let refused = come_back(&world.at_one, &other, &last).await;
        assert_eq!(refused.status, 400);
        assert_eq!(post(&world.at_one, &other, accepts(&question)).await, 202, "as nothing");
        assert_eq!(post(&world.at_two, &other, accepts(&question)).await, 202, "as nothing");
        for nonsense in ["", "x", "x.y", "a-b.1", "9.9.9", &last.replace('.', "")] {
            let refused = come_back(&world.at_one, &mine, &format!("?{nonsense}")).await;
            assert_eq!(refused.status, 400, "{nonsense}");
        }
        assert_eq!(post(&world.at_one, &mine, accepts(&question)).await, 202);
        let messages = rest_of(stream).await;
        assert!(text_of(messages.last().unwrap()).contains("mia"), "{messages:?}");
        world.stop().await;
    }

    async fn a_client_of_the_newer_generation_tries_again_at_another_process(database) {
        // The call asks in the middle of its work: its upstream is spoken to in the older generation.
        let world = World::start(&database.db, Some(ProtocolEra::Legacy)).await;
        let meta = json!({ "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "form": {} } } });
        let mut params = json!({ "name": "test_elicitation", "arguments": { "message": "Who?" }, "_meta": meta });
        let asked = world.at_one.modern("tools/call", params.clone()).await.result();
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let (key, _) = asked["inputRequests"].as_object().unwrap().iter().next().unwrap();
        let content = json!({ "username": "mia", "email": "mia@example.test" });
        params["inputResponses"] = json!({ key: { "action": "accept", "content": content } });
        params["requestState"] = asked["requestState"].clone();
        let other = json!({ "name": "test_elicitation", "arguments": { "message": "Other" }, "_meta": meta,
            "inputResponses": params["inputResponses"], "requestState": params["requestState"] });
        let refused = world.at_one.modern("tools/call", other).await;
        assert_eq!(refused.error_code(), -32602, "{}", refused.json());
        let done = world.at_two.modern("tools/call", params.clone()).await.result();
        assert!(done["content"][0]["text"].as_str().unwrap().contains("action=accept"), "{done}");
        let twice = world.at_one.modern("tools/call", params).await;
        assert_eq!(twice.error_code(), -32602, "{}", twice.json());
        world.stop().await;
    }
}
