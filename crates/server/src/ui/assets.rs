//! Files of the pages, built in. There is no directory to look into, so there is no way out of it.
//!
//! A page names each by what is in it (`switchboard.1f0c….css`), so that a browser keeps it for good and never has an old one
//! with a new page. They are compressed once, for whoever takes that. Pages themselves never are: a page has its form's token
//! beside what a stranger may have put there, and how well both compress together would tell the token (BREACH).

use std::{io::Write as _, sync::LazyLock};

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderValue, Response, header},
};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

use crate::problem;

const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[(&str, &str, &[u8])] = &[
    ("switchboard.css", "text/css; charset=utf-8", include_bytes!("../../assets/switchboard.css")),
    ("console.js", SCRIPT, include_bytes!("../../assets/console.js")),
    ("rules.js", SCRIPT, include_bytes!("../../assets/rules.js")),
    ("copy.js", SCRIPT, include_bytes!("../../assets/copy.js")),
    ("live.js", SCRIPT, include_bytes!("../../assets/live.js")),
    ("connect.js", SCRIPT, include_bytes!("../../assets/connect.js")),
    ("htmx.js", SCRIPT, include_bytes!("../../assets/vendor/htmx-2.0.11.min.js")),
    ("switchboard.svg", "image/svg+xml", include_bytes!("../../assets/switchboard.svg")),
];

struct Asset {
    name: &'static str,
    /// With the first half of its SHA-256 before the ending.
    address: String,
    kind: &'static str,
    bytes: &'static [u8],
    gzip: Vec<u8>,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| FILES.iter().map(asset_of).collect());

fn asset_of((name, kind, bytes): &(&'static str, &'static str, &'static [u8])) -> Asset {
    let digest = Sha256::digest(bytes);
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Into memory: there is nothing that could fail, and without it the file goes out as it is.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    Asset {
        name,
        address: format!("/assets/{stem}.{digest}.{ending}"),
        kind,
        bytes,
        gzip: written.unwrap_or_default(),
    }
}

/// Where a page finds the file of this name.
pub(crate) fn asset(name: &str) -> &'static str {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    debug_assert!(found.is_some(), "there is no {name}");
    found.map_or("/assets/none", |asset| asset.address.as_str())
}

/// Whether the browser takes gzip: by name, and not with a weight of zero (RFC 9110 section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    codings.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

pub(super) async fn serve(Path(name): Path<String>, asked: HeaderMap) -> Response<Body> {
    let address = format!("/assets/{name}");
    let Some(found) = ASSETS.iter().find(|asset| asset.address == address || asset.name == name) else {
        return problem::not_found();
    };
    // Under its plain name it may be another one tomorrow.
    let keeps =
        if found.name == name { "public, max-age=300" } else { "public, max-age=31536000, immutable" };
    let zipped = takes_gzip(&asked) && !found.gzip.is_empty();
    let mut response = Response::new(Body::from(if zipped { &found.gzip } else { found.bytes }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(found.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keeps));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if zipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_what_is_in_it() {
        for (name, ..) in FILES {
            let address = asset(name);
            let (stem, ending) = name.rsplit_once('.').unwrap();
            assert!(
                address.starts_with(&format!("/assets/{stem}.")) && address.ends_with(ending),
                "{address}"
            );
        }
        let all: std::collections::HashSet<_> = FILES.iter().map(|(name, ..)| asset(name)).collect();
        assert_eq!(all.len(), FILES.len());
    }

    #[test]
    fn gzip_is_for_whoever_takes_it() {
        let takes = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            takes_gzip(&headers)
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("gzip; q=0.0") && !takes("identity"));
    }
}
