//! Batches: several messages in one body, as 2025-03-26 has them and no later revision
//! (<https://modelcontextprotocol.io/specification/2025-03-26/basic#batching>). Its clients send no header with a revision.
//!
//! Each message is served by itself, under the same rules and limits. What has nothing to tell before its answers comes as an
//! array; otherwise all answers come as one stream.

use axum::{
    body::Body,
    http::{HeaderMap, Response, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use serde_json::value::RawValue;
use switchboard_domain::{Principal, Resource, Slug};
use switchboard_mcp::{Payload, ProtocolError, names};

use super::{dispatch, json, protocol_error, talk};
use crate::{ServerState, problem};

const REVISION: &str = "2025-03-26";

/// Whether a body is a batch of a revision that has them.
pub(super) fn is_one(headers: &HeaderMap, body: &[u8]) -> bool {
    let mut revisions = headers.get_all(names::PROTOCOL_VERSION).iter();
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
        && revisions.all(|revision| revision == REVISION)
}

pub(super) async fn serve(
    state: &ServerState,
    (principal, resource, organization): (Principal, Resource, Option<Slug>),
    parts: &Parts,
    body: &Bytes,
) -> Response<Body> {
    let messages = match messages(body, state.config.max_batch) {
        Ok(messages) => messages,
        Err(error) => return protocol_error(&error),
    };
    let answers = messages.iter().map(|message| {
        let (principal, resource, organization) = (principal.clone(), resource.clone(), organization.clone());
        dispatch::dispatch(state, principal, resource, organization, parts, message)
    });
    let answers = join_all(answers).await;
    if answers.iter().any(is_stream) {
        return streamed(answers);
    }
    let mut all = vec![b'['];
    for answer in answers.into_iter().filter(is_message) {
        let Ok(message) = axum::body::to_bytes(answer.into_body(), usize::MAX).await else { continue };
        if all.len() > 1 {
            all.push(b',');
        }
        all.extend_from_slice(&message);
    }
    if all.len() == 1 {
        return problem::empty(StatusCode::ACCEPTED);
    }
    all.push(b']');
    json(StatusCode::OK, Payload::one(all))
}

fn messages(body: &Bytes, most: usize) -> Result<Vec<Bytes>, ProtocolError> {
    let messages: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|error| ProtocolError::parse(error.to_string()))?;
    if messages.is_empty() || messages.len() > most {
        return Err(ProtocolError::invalid_request(format!(
            "a batch has 1 to {most} messages (limit `server.max_batch`)"
        )));
    }
    let is_greeting = |message: &&RawValue| {
        let message = switchboard_mcp::RawObject::parse(message).ok();
        message.and_then(|message| message.read::<String>("method")).is_some_and(|it| it == "initialize")
    };
    if messages.iter().any(is_greeting) {
        return Err(ProtocolError::invalid_request("`initialize` is never part of a batch"));
    }
    Ok(messages.into_iter().map(|message| body.slice_ref(message.get().as_bytes())).collect())
}

fn is_of(answer: &Response<Body>, kind: &str) -> bool {
    let value = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.starts_with(kind))
}

fn is_stream(answer: &Response<Body>) -> bool {
    is_of(answer, "text/event-stream")
}

/// Not what says only that a notification arrived.
fn is_message(answer: &Response<Body>) -> bool {
    is_of(answer, "application/json")
}

/// All answers as one stream, each as soon as it is there.
fn streamed(answers: Vec<Response<Body>>) -> Response<Body> {
    let streams = answers.into_iter().filter(|answer| is_stream(answer) || is_message(answer));
    let streams = streams.map(|answer| match is_stream(&answer) {
        true => answer.into_body().into_data_stream().boxed(),
        false => stream::once(async move {
            let message = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
            Ok::<_, axum::Error>(talk::event_with(&message))
        })
        .boxed(),
    });
    talk::event_stream(Body::from_stream(stream::select_all(streams)))
}
