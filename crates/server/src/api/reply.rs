//! What a handler answers.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;
use serde_json::json;
use switchboard_broker::manage::{Refusal, RefusalKind};

use crate::problem::Problem;

#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    body: Body,
    content_type: Option<&'static str>,
    etag: Option<i64>,
    location: Option<String>,
    disposition: Option<&'static str>,
}

impl Reply {
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Problem> {
        let text = serde_json::to_vec(value).map_err(|error| {
            tracing::error!(%error, "an answer can't be written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The answer can't be written.")
        })?;
        Ok(Self::raw("application/json", Body::from(text)))
    }

    pub(super) fn raw(content_type: &'static str, body: Body) -> Self {
        Self {
            status: StatusCode::OK,
            body,
            content_type: Some(content_type),
            etag: None,
            location: None,
            disposition: None,
        }
    }

    pub(super) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, content_type: None, ..Self::raw("", Body::empty()) }
    }

    pub(super) fn created(mut self, location: String) -> Self {
        self.status = StatusCode::CREATED;
        self.location = Some(location);
        self
    }

    pub(super) fn etag(mut self, revision: i64) -> Self {
        self.etag = Some(revision);
        self
    }

    pub(super) fn attachment(mut self, disposition: &'static str) -> Self {
        self.disposition = Some(disposition);
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let texts = [
            (header::CONTENT_TYPE, self.content_type.map(str::to_owned)),
            (header::CONTENT_DISPOSITION, self.disposition.map(str::to_owned)),
            (header::ETAG, self.etag.map(|revision| format!("\"{revision}\""))),
            (header::LOCATION, self.location),
        ];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Stale => StatusCode::PRECONDITION_FAILED,
            RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let more = (!refusal.violations.is_empty()).then(|| json!({ "violations": refusal.violations }));
        Self {
            more,
            refusal: Some(Box::new(refusal.clone())),
            ..Self::new(status, refusal.code, refusal.message)
        }
    }
}
