//! What the tests of this binary share.

use switchboard_domain::Scope;
use switchboard_storage::{Db, Migrations, Options};
use switchboard_testkit::app::{App, McpClient, McpReply};

pub(crate) const READ_WRITE: [Scope; 2] = [Scope::McpRead, Scope::McpWrite];

/// A database of the test's own; the directory goes with it.
pub(crate) async fn sqlite() -> (Db, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let migrate = Migrations::Apply { release: "test", now: switchboard_domain::Timestamp::from_micros(1) };
    let db = Db::open(&Options::sqlite(directory.path().join("test.db")), migrate).await.unwrap();
    (db, directory)
}

/// A client of the owner, who may search and execute.
pub(crate) async fn owner(app: &App) -> McpClient {
    app.client(&app.token(app.owner, &READ_WRITE).await)
}

/// A request of the API with a token of the owner.
pub(crate) async fn api(app: &App, method: &str, path: &str, body: Option<serde_json::Value>) -> McpReply {
    let token = app.token(app.owner, &[Scope::Api]).await;
    let client = app.client_at(&format!("/api/v1{path}"), Some(&token));
    let method = method.parse().unwrap();
    match body {
        Some(body) => client.send(method, json_headers(), body.to_string()).await,
        None => client.send(method, http::HeaderMap::new(), "").await,
    }
}

pub(crate) fn json_headers() -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers
}

/// How events of this action ended, the newest first.
pub(crate) async fn events(app: &App, action: &str) -> Vec<String> {
    let mut tx = app.db.read().await.unwrap();
    let filter = switchboard_storage::AuditFilter { action: Some(action.into()), ..Default::default() };
    let entries = tx.audit().page(app.organization, &filter, 100).await.unwrap();
    entries.into_iter().filter_map(|entry| entry.outcome.map(|it| it.as_str().to_owned())).collect()
}
