//! An authenticated request of the API, and how its parts are read: strictly, with the place of what is wrong.

use std::str::FromStr;

use axum::{
    extract::Query,
    http::{HeaderMap, StatusCode, Uri, header},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use switchboard_broker::Broker;
use switchboard_domain::Principal;

use crate::{RequestId, ServerState, problem::Problem};

pub(crate) struct Call {
    pub(super) state: ServerState,
    pub(super) principal: Principal,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) request_id: RequestId,
}

impl Call {
    pub(super) fn broker(&self) -> &Broker {
        &self.state.broker
    }

    /// A part of the path. What is no id of the kind names nothing.
    pub(super) fn path<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.parse().ok()).ok_or_else(Problem::not_found)
    }

    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        Query::try_from_uri(&self.uri).map(|Query(query)| query).map_err(|error| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_query",
                format!("The query can't be taken: {}.", error.body_text()),
            )
        })
    }

    /// The body as `T`: what is no JSON is 400, what is another shape 422 with its path.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut reader = serde_json::Deserializer::from_slice(&self.body);
        let read = serde_path_to_error::deserialize(&mut reader);
        let value = read.map_err(|error| {
            let path = error.path().to_string();
            unreadable(&path, error.inner())
        })?;
        reader.end().map_err(|error| unreadable(".", &error))?;
        Ok(value)
    }

    /// The revision of `If-Match`; `*` asks for nothing.
    pub(super) fn if_match(&self) -> Result<Option<i64>, Problem> {
        let Some(value) = self.headers.get(header::IF_MATCH) else { return Ok(None) };
        if value == "*" {
            return Ok(None);
        }
        let revision = value
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix('"')?.strip_suffix('"')?.parse::<i64>().ok());
        // A tag that was never ours matches nothing.
        Ok(Some(revision.unwrap_or(-1)))
    }
}

fn unreadable(path: &str, error: &serde_json::Error) -> Problem {
    use serde_json::error::Category;
    let text = error.to_string();
    // The path says where; line and column help only with what is no JSON.
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = match error.classify() {
        Category::Data => text.strip_suffix(&position).unwrap_or(&text),
        _ => &text,
    };
    let message: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    match error.classify() {
        Category::Data => {
            let path = if path == "." { "" } else { path };
            let message = if may_be_secret(path) { without_value(&message) } else { message };
            let place = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
            let mut problem = Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "validation_failed",
                format!("{place}{message}."),
            );
            problem.more = Some(serde_json::json!({ "violations": [{ "path": path, "message": message }] }));
            problem
        }
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            format!("The body is not JSON: {message}."),
        ),
    }
}

/// Members that hold secrets, or what holds such members: what was sent there is not sent back.
fn may_be_secret(path: &str) -> bool {
    const SECRET: [&str; 8] = [
        "api_key",
        "headers",
        "oauth",
        "client_credentials",
        "client_secret",
        "private_key",
        "password",
        "arguments",
    ];
    path.split(['.', '[']).any(|member| SECRET.contains(&member))
}

/// serde quotes what it met; what it expected comes after.
fn without_value(message: &str) -> String {
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "this is of the wrong kind".into(),
    }
}
