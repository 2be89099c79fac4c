//! The OpenAPI 3.1 document, made of the table of routes: a route can't be missing from it.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::http::{Method, StatusCode};
use switchboard_broker::manage::{Needs, Violation};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, HeaderBuilder, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi,
        OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Required, ResponseBuilder, ResponsesBuilder,
        ServerBuilder, Type,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::Schema,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{route::Route, routes};

/// A refusal (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Problem {
    r#type: String,
    title: String,
    status: u16,
    /// Stable: what a program should look at.
    code: String,
    /// What is wrong, why, and what to do.
    detail: String,
    /// Where several members are wrong, all of them.
    violations: Option<Vec<Violation>>,
}

/// The OpenAPI 3.1 document.
pub fn openapi_json() -> &'static serde_json::Value {
    static DOCUMENT: LazyLock<serde_json::Value> =
        LazyLock::new(|| serde_json::to_value(document()).unwrap_or_default());
    &DOCUMENT
}

fn document() -> OpenApi {
    let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    let mut paths = PathsBuilder::new();
    for route in routes() {
        let bodies = route.takes.into_iter().chain(route.answers.iter().filter_map(|(_, body)| *body));
        for body in bodies {
            let mut collected = Vec::new();
            (body.collect)(&mut collected);
            schemas.extend(collected);
        }
        paths = paths.path(
            format!("/api/v1{}", route.path),
            PathItem::new(http_method(&route.method), operation(&route)),
        );
    }
    let mut collected = vec![("Problem".to_owned(), Problem::schema())];
    Problem::schemas(&mut collected);
    schemas.extend(collected);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A personal or service token with the scope `api`."))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Switchboard")
                .version("1")
                .description(Some(
                    "Administration of Switchboard: connections, grants, rules, tokens, the audit log. Errors are \
                     `application/problem+json` with a stable `code`; what a caller may not see does not exist for \
                     them (404).",
                ))
                .build(),
        )
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .paths(paths)
        .components(Some(
            ComponentsBuilder::new()
                .schemas_from_iter(schemas)
                .security_scheme("bearer", SecurityScheme::Http(bearer))
                .build(),
        ))
        .security(Some([SecurityRequirement::new("bearer", ["api"])]))
        .build()
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(route: &Route) -> utoipa::openapi::path::Operation {
    let tag = route.path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let id = format!(
        "{}{}",
        route.method.as_str().to_lowercase(),
        route.path.replace(['/', '{', '}', '-'], "_").replace("__", "_")
    );
    let who = match route.operation.needs() {
        Needs::Membership => "Anybody in the organization.",
        Needs::Admin => "Admins.",
        Needs::Sight => "Admins, and whoever it is open for.",
        Needs::Grant => "Whoever it is granted to.",
        Needs::Management => "Admins; the owner of a personal one.",
        Needs::Ownership => "The owner of the thing, and admins.",
        Needs::Involvement => "Whose agent asked, whoever may decide, and admins.",
        Needs::Decision => "Whom the rule names; never the token or the client that asked.",
    };
    let description = match route.description {
        Some(text) => format!("{text}\n\nWho: {who}"),
        None => format!("Who: {who}"),
    };
    let mut builder = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(id.trim_end_matches('_')))
        .summary(Some(route.summary))
        .description(Some(description))
        .responses(responses(route));
    for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        builder = builder.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        );
    }
    if route.has_etag && matches!(route.method, Method::PATCH | Method::PUT) {
        builder = builder.parameter(
            ParameterBuilder::new()
                .name("If-Match")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "The `ETag` that was read: an edit of something newer is refused with 412.",
                ))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        );
    }
    for parameter in (route.query)() {
        builder = builder.parameter(parameter);
    }
    if let Some(body) = route.takes {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name((body.name)()))).build();
        builder = builder.request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", content)
                .required(Some(Required::True))
                .build(),
        ));
    }
    builder.build()
}

fn responses(route: &Route) -> utoipa::openapi::Responses {
    let mut responses = ResponsesBuilder::new();
    for (status, body) in &route.answers {
        let reason = status.canonical_reason().unwrap_or("Done");
        let mut response = ResponseBuilder::new().description(reason);
        match body {
            Some(body) => {
                let content =
                    ContentBuilder::new().schema(Some(Ref::from_schema_name((body.name)()))).build();
                response = response.content("application/json", content);
            }
            None if *status != StatusCode::NO_CONTENT => {
                for media in route.media {
                    let text = ObjectBuilder::new().schema_type(Type::String);
                    response = response.content(*media, ContentBuilder::new().schema(Some(text)).build());
                }
            }
            None => {}
        }
        if route.has_etag {
            let tag =
                HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build();
            response = response.header("ETag", tag);
        }
        responses = responses.response(status.as_str(), response.build());
    }
    for (status, description) in failures(route) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content)
            .build();
        responses = responses.response(status, response);
    }
    responses.build()
}

fn failures(route: &Route) -> Vec<(&'static str, &'static str)> {
    let mut failures = vec![
        ("401", "No token, or not one that is valid here (`unauthenticated`)."),
        ("403", "The token lacks the scope `api`, or one that this needs (`insufficient_scope`)."),
        ("404", "Unknown, or not for this caller (`not_found`)."),
        ("429", "Too many requests; `Retry-After` says how long to wait (`rate_limited`)."),
        ("503", "Records can't be reached: nothing was done (`unavailable`)."),
    ];
    if route.takes.is_some() {
        failures.extend([
            ("400", "The body is no JSON (`malformed_json`)."),
            ("413", "The body is too large (`request_too_large`)."),
            ("415", "The body is not `application/json` (`unsupported_media_type`)."),
        ]);
    }
    if route.takes.is_some() || !(route.query)().is_empty() {
        failures
            .push(("422", "It can't be taken as sent; `violations` name the members (`validation_failed`)."));
    }
    if route.operation.is_write() {
        failures.push(("409", "Its state, or something else's name, does not allow it."));
    }
    if route.has_etag && matches!(route.method, Method::PATCH | Method::PUT) {
        failures.push(("412", "It was changed since it was read (`stale`)."));
    }
    failures.sort_unstable();
    failures
}
