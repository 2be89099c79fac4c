//! For whoever runs it: is the process alive, can it serve, what does it count.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use crate::{ServerState, problem};

type Render = dyn Fn() -> String + Send + Sync;

/// What `/readyz` and `/metrics` answer from.
pub struct Readiness {
    stopping: AtomicBool,
    metrics: Option<Arc<Render>>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

impl Readiness {
    /// `metrics` renders the Prometheus text.
    pub fn new(metrics: Option<Arc<Render>>) -> Self {
        Self { stopping: AtomicBool::new(false), metrics }
    }

    /// From now on not ready: a load balancer sends nothing new.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether what has no end of its own has to end now.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The Prometheus text.
    pub fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(|render| render())
    }
}

pub(crate) fn router() -> Router<ServerState> {
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
}

async fn alive() -> &'static str {
    "ok\n"
}

/// Database, migrations and keys were checked before the listener opened; what can fail later is the database.
async fn ready(State(state): State<ServerState>) -> Response {
    let stopping = state.readiness.stopping.load(Ordering::Relaxed);
    let database = state.broker.db().ping().await.is_ok();
    let current = state.broker.is_ready();
    let ready = !stopping && database && current;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |good: bool| if good { "ok" } else { "failing" };
    let body = json!({
        "status": if ready { "ready" } else if stopping { "stopping" } else { "not_ready" },
        "checks": { "database": word(database), "snapshots": word(current), "migrations": "ok", "keys": "ok" }
    });
    (status, Json(body)).into_response()
}

/// On this listener only with the operator's token; without one it has a listener of its own.
async fn metrics(State(state): State<ServerState>, headers: HeaderMap) -> Response {
    let expected = state.config.metrics_token.as_ref();
    let given =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let admitted = expected.zip(given).is_some_and(|(expected, given)| {
        switchboard_broker::same_secret(expected.expose().as_bytes(), given.as_bytes())
    });
    match state.readiness.metrics().filter(|_| admitted) {
        Some(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        None => problem::not_found(),
    }
}

async fn version() -> Json<serde_json::Value> {
    Json(json!({ "name": "switchboard", "version": env!("CARGO_PKG_VERSION") }))
}
