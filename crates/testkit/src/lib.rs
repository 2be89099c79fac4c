//! Real parts for tests. One module per part; this file only lists them.

pub mod app;
pub mod canary;
pub mod client_assertion;
pub mod conformance;
pub mod database;
pub mod identity_provider;
pub mod upstream;
