//! A client of the API.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use switchboard_domain::{MemberId, Role, Scope};
use switchboard_testkit::{
    app::{App, McpReply},
    database::TestDatabase,
};

pub(super) const ALL: [Scope; 3] = [Scope::McpRead, Scope::McpWrite, Scope::Api];

/// One caller of the API.
#[derive(Clone)]
pub(super) struct Rest<'a> {
    app: &'a App,
    pub(super) token: Option<String>,
}

impl<'a> Rest<'a> {
    pub(super) async fn owner(app: &'a App) -> Self {
        Self::of(app, app.owner).await
    }

    pub(super) async fn of(app: &'a App, member: MemberId) -> Self {
        Self { app, token: Some(app.token(member, &ALL).await) }
    }

    pub(super) async fn member(app: &'a App, name: &str, role: Role) -> (Self, MemberId) {
        let member = app.member(&format!("{name}@example.test"), role).await;
        (Self::of(app, member).await, member)
    }

    pub(super) fn with_token(app: &'a App, token: Option<&str>) -> Self {
        Self { app, token: token.map(str::to_owned) }
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> McpReply {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let client = self.app.client_at(&format!("/api/v1{path}"), self.token.as_deref());
        client.send(method, map, body).await
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> McpReply {
        match body {
            Some(body) => {
                self.send(method, path, &[("content-type", "application/json")], body.to_string()).await
            }
            None => self.send(method, path, &[], "").await,
        }
    }

    pub(super) async fn get(&self, path: &str) -> McpReply {
        self.ask(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> McpReply {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> McpReply {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> McpReply {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> McpReply {
        self.ask(Method::DELETE, path, None).await
    }
}

pub(super) trait Expect {
    fn ok(self, status: u16) -> Value;
    fn refused(self, status: u16, code: &str) -> Value;
}

impl Expect for McpReply {
    /// The body of an answer of this status.
    #[track_caller]
    fn ok(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem of a refusal.
    #[track_caller]
    fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }
}

/// An app on a database of its own.
pub(super) async fn app(database: &TestDatabase) -> App {
    App::start(database.db.clone()).await
}
