//! One line of the table: method, path, operation, handler, and what the documentation says of it.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use axum::http::{Method, StatusCode};
use switchboard_broker::manage::{Operation, Page};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        RefOr,
        path::{Parameter, ParameterIn},
        schema::Schema,
    },
};

use super::{call::Call, reply::Reply};
use crate::problem::Problem;

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;
type Schemas = Vec<(String, RefOr<Schema>)>;

/// A body's schema, by name, with what it refers to.
#[derive(Clone, Copy)]
pub(super) struct Body {
    pub(super) name: fn() -> String,
    pub(super) collect: fn(&mut Schemas),
}

impl Body {
    fn of<T: ToSchema>() -> Self {
        Self {
            name: || T::name().into_owned(),
            collect: |schemas| {
                schemas.push((T::name().into_owned(), <T as PartialSchema>::schema()));
                T::schemas(schemas);
            },
        }
    }
}

impl Body {
    fn page_of<T: ToSchema>() -> Self {
        Self {
            name: || Page::<T>::name().into_owned(),
            collect: |schemas| {
                (Body::of::<Page<T>>().collect)(schemas);
                (Body::of::<T>().collect)(schemas);
            },
        }
    }
}

/// One route of the API.
pub(crate) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) operation: Operation,
    pub(super) handler: Arc<dyn Fn(Call) -> Answer + Send + Sync>,
    pub(super) summary: &'static str,
    pub(super) description: Option<&'static str>,
    pub(super) takes: Option<Body>,
    pub(super) query: fn() -> Vec<Parameter>,
    pub(super) answers: Vec<(StatusCode, Option<Body>)>,
    /// Media types of an answer that is no JSON.
    pub(super) media: &'static [&'static str],
    pub(super) has_etag: bool,
}

/// A route as tests see it.
#[derive(Debug, Clone)]
pub struct RouteFacts {
    pub method: Method,
    /// With `{names}` in place of ids, below `/api/v1`.
    pub path: &'static str,
    pub operation: Operation,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    fn new<F>(
        method: Method,
        path: &'static str,
        operation: Operation,
        handler: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Reply, Problem>> + Send + 'static,
    {
        Self {
            method,
            path,
            operation,
            handler: Arc::new(move |call| Box::pin(handler(call))),
            summary: "",
            description: None,
            takes: None,
            query: Vec::new,
            answers: Vec::new(),
            media: &["application/json"],
            has_etag: false,
        }
    }

    pub(super) fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(super) fn explains(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(Body::of::<T>());
        self
    }

    pub(super) fn query<T: IntoParams>(mut self) -> Self {
        self.query = || T::into_params(|| Some(ParameterIn::Query));
        self
    }

    pub(super) fn answers<T: ToSchema>(mut self, status: StatusCode) -> Self {
        self.answers.push((status, Some(Body::of::<T>())));
        self
    }

    pub(super) fn answers_page<T: ToSchema>(mut self) -> Self {
        self.answers.push((StatusCode::OK, Some(Body::page_of::<T>())));
        self
    }

    pub(super) fn answers_nothing(mut self) -> Self {
        self.answers.push((StatusCode::NO_CONTENT, None));
        self
    }

    pub(super) fn answers_media(mut self, media: &'static [&'static str]) -> Self {
        self.media = media;
        self.answers.push((StatusCode::OK, None));
        self
    }

    pub(super) fn with_etag(mut self) -> Self {
        self.has_etag = true;
        self
    }

    pub(super) fn facts(&self) -> RouteFacts {
        RouteFacts { method: self.method.clone(), path: self.path, operation: self.operation }
    }
}

macro_rules! verbs {
    ($($verb:ident = $method:ident),*) => {$(
        pub(super) fn $verb<F>(
            path: &'static str,
            operation: Operation,
            handler: impl Fn(Call) -> F + Send + Sync + 'static,
        ) -> Route
        where
            F: Future<Output = Result<Reply, Problem>> + Send + 'static,
        {
            Route::new(Method::$method, path, operation, handler)
        }
    )*};
}

verbs!(get = GET, post = POST, put = PUT, patch = PATCH, delete = DELETE);
