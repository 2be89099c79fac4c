//! What is read, and what has to hold.

mod documents;
mod headers;
mod json_rpc;
mod sse;
mod urls;

/// One reader of strangers' bytes.
#[derive(Debug)]
pub struct Target {
    pub name: &'static str,
    /// What it begins with.
    pub corpus: fn() -> Vec<Vec<u8>>,
    /// Words of its format.
    pub words: &'static [&'static str],
    /// Panics when something does not hold.
    pub check: fn(&[u8]),
}

pub fn all() -> Vec<Target> {
    vec![
        json_rpc::TARGET,
        sse::TARGET,
        headers::TARGET,
        documents::CLIENT_DOCUMENTS,
        documents::SERVER_DOCUMENTS,
        urls::TARGET,
    ]
}
