//! Clients of one upstream session never see each other's answers, progress or questions, whatever ids they chose and in
//! whatever order the upstream speaks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};
use switchboard_mcp::{Incoming, RequestId, parse_upstream};
use tokio::sync::{broadcast, mpsc};

use super::{
    Ask, Side, SideEvent,
    channel::ChannelWire,
    side::{Asked, Sides},
};

/// The clients of these tests; all of them use the progress token `1` and the request id `1`.
const CLIENTS: usize = 4;

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn side(client: usize) -> (Side, mpsc::Receiver<SideEvent>) {
    let (events, receiver) = mpsc::channel(64);
    let side = Side {
        events,
        progress_token: Some(raw(&json!(1))),
        log_level: None,
        capabilities: Some(raw(&json!({ "elicitation": {} }))),
        meta: "".into(),
        audience: format!("client {client}").into(),
        wants_session: true,
        knows_tasks: false,
        task: None,
        related: None,
        is_legacy: false,
    };
    (side, receiver)
}

/// What an upstream does: `stream` is the request on whose stream it speaks, by the position of its client.
#[derive(Debug, Clone)]
enum Said {
    Progress { token: i64, stream: Option<usize> },
    Log { stream: Option<usize> },
    Asks { stream: Option<usize> },
    Over(usize),
}

fn said() -> impl Strategy<Value = Said> {
    let stream = || prop::option::of(0..CLIENTS);
    prop_oneof![
        (-2_i64..8, stream()).prop_map(|(token, stream)| Said::Progress { token, stream }),
        stream().prop_map(|stream| Said::Log { stream }),
        stream().prop_map(|stream| Said::Asks { stream }),
        (0..CLIENTS).prop_map(Said::Over),
    ]
}

/// Our ids of the clients' requests.
const fn id_of(client: usize) -> i64 {
    client as i64 + 1
}

/// Who must hear it, of those whose requests are under way.
fn meant(said: &Said, open: &[usize]) -> Option<usize> {
    let found = match said {
        Said::Progress { token, stream } => {
            let of_token = usize::try_from(token - 1).ok().filter(|client| *client < CLIENTS)?;
            (stream.is_none() || *stream == Some(of_token)).then_some(of_token)
        }
        // On a session of all, what names no request is for nobody.
        Said::Log { stream } | Said::Asks { stream } => *stream,
        Said::Over(_) => None,
    };
    found.filter(|client| open.contains(client))
}

proptest! {
    #[test]
    fn what_an_upstream_says_reaches_the_client_it_is_about(story in prop::collection::vec(said(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let sides = Arc::new(Sides::new(true));
            let mut receivers = Vec::new();
            let mut listening = BTreeMap::new();
            for client in 0..CLIENTS {
                let (side, receiver) = side(client);
                listening.insert(client, sides.add(id_of(client), Some(&side)));
                receivers.push(receiver);
            }
            for said in story {
                let open: Vec<usize> = listening.keys().copied().collect();
                let own = |stream: &Option<usize>| stream.map(id_of);
                match &said {
                    Said::Over(client) => drop(listening.remove(client)),
                    Said::Progress { token, stream } => {
                        let params = raw(&json!({ "progressToken": token, "progress": 1 }));
                        if let Some((side, event)) = sides.hears("notifications/progress", Some(&params), own(stream)) {
                            side.events.try_send(event).unwrap();
                        }
                    }
                    Said::Log { stream } => {
                        let params = raw(&json!({ "level": "info", "data": "x" }));
                        if let Some((side, event)) = sides.hears("notifications/message", Some(&params), own(stream)) {
                            side.events.try_send(event).unwrap();
                        }
                    }
                    Said::Asks { stream } => {
                        let asked = Asked { id: RequestId::Number(1), method: "elicitation/create".into(), params: None };
                        let (sides, own) = (Arc::clone(&sides), own(stream));
                        let answering = tokio::spawn(async move { sides.answer(asked, own).await });
                        tokio::task::yield_now().await;
                        let expected = meant(&said, &open);
                        if let Some(client) = expected {
                            let Ok(SideEvent::Question { reply, .. }) = receivers[client].try_recv() else {
                                panic!("a question for client {client}");
                            };
                            reply.send(Ok(raw(&json!({ "of": client })))).unwrap();
                        }
                        let answer: Value = serde_json::from_slice(&answering.await.unwrap()).unwrap();
                        match expected {
                            Some(client) => prop_assert_eq!(&answer["result"]["of"], &json!(client)),
                            None => prop_assert_eq!(&answer["error"]["code"], &json!(-32601)),
                        }
                        for receiver in &mut receivers {
                            prop_assert!(receiver.try_recv().is_err());
                        }
                        continue;
                    }
                }
                let expected = meant(&said, &open);
                for (client, receiver) in receivers.iter_mut().enumerate() {
                    let heard = receiver.try_recv().ok();
                    prop_assert_eq!(heard.is_some(), expected == Some(client), "{:?} at {}", said, client);
                    if let Some(SideEvent::Notification { params, .. }) = heard {
                        let params: Value = serde_json::from_str(params.get()).unwrap();
                        prop_assert!(params.get("progressToken").is_none_or(|token| *token == 1), "its own token");
                    }
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn each_request_gets_its_own_answer(
        order in Just((0..CLIENTS).collect::<Vec<_>>()).prop_shuffle(),
        noise in prop::collection::vec((-3_i64..20, any::<bool>()), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (hints, _) = broadcast::channel(4);
            let (wire, switch, mut queue, _stop) = ChannelWire::new(hints, Sides::new(true));
            let wire = Arc::new(wire);
            let mut waiting = Vec::new();
            let mut ids = Vec::new();
            for client in 0..CLIENTS {
                let wire = Arc::clone(&wire);
                waiting.push(tokio::spawn(async move {
                    let members = format!("\"name\":\"of {client}\"");
                    let ask = Ask {
                        method: "tools/call",
                        members: &members,
                        name: None,
                        params: &[],
                        identity: None,
                        deadline: Duration::from_secs(20),
                        deadline_name: "upstream.call_timeout",
                        max_bytes: 10_000,
                        side: None,
                    };
                    wire.request(&ask).await
                }));
                let sent = queue.recv().await.unwrap();
                let Ok(Incoming::Request(request)) = parse_upstream(&sent) else { panic!("a request") };
                let RequestId::Number(id) = request.id else { panic!("a number") };
                ids.push(id);
            }
            // Ids that nobody waits for, texts for numbers: as if nothing was said.
            for (id, as_text) in noise {
                let id = if as_text { json!(id.to_string()) } else { json!(id) };
                if !ids.iter().any(|ours| id == *ours) {
                    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": { "of": "nobody" } });
                    switch.receive(&Bytes::from(answer.to_string()));
                }
            }
            for client in order {
                let answer = json!({ "jsonrpc": "2.0", "id": ids[client], "result": { "of": client } });
                let answer = Bytes::from(answer.to_string());
                switch.receive(&answer);
                // Said twice, it is heard once.
                switch.receive(&answer);
            }
            for (client, waiting) in waiting.into_iter().enumerate() {
                let result: Value = serde_json::from_slice(&waiting.await.unwrap().unwrap()).unwrap();
                prop_assert_eq!(&result["of"], &json!(client));
            }
            Ok(())
        })?;
    }
}
