//! Files of the pages, built in. There is no directory to look into, so there is no way out of it.

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderValue, Response, header},
};

use crate::problem;

const ASSETS: &[(&str, &str, &[u8])] = &[
    ("switchboard.css", "text/css; charset=utf-8", include_bytes!("../../assets/switchboard.css")),
    ("console.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/console.js")),
    ("rules.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/rules.js")),
    ("copy.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/copy.js")),
    ("poll.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/poll.js")),
    ("connect.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/connect.js")),
    ("switchboard.svg", "image/svg+xml", include_bytes!("../../assets/switchboard.svg")),
];

pub(super) async fn asset(Path(name): Path<String>) -> Response<Body> {
    let Some((_, kind, bytes)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return problem::not_found();
    };
    let mut response = Response::new(Body::from(*bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
