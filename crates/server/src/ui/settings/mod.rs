//! `/settings`: what an organization decides for itself, what the operator decided for it, where it wants to be told what
//! happens, who is asked about its calls, and how the installation is.

mod guardrail;
mod organization;
mod system;
mod webhooks;

use axum::{Router, routing::get};

use crate::ServerState;

pub(super) const PATH: &str = "/settings";
const WEBHOOKS: &str = "/settings/webhooks";
const GUARDRAIL: &str = "/settings/guardrail";
const SYSTEM: &str = "/system";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route(PATH, get(organization::show).post(organization::change))
        .route(WEBHOOKS, get(webhooks::show).post(webhooks::change))
        .route(GUARDRAIL, get(guardrail::show).post(guardrail::change))
        .route(SYSTEM, get(system::show).post(system::examine))
}

struct Tab {
    address: &'static str,
    name: &'static str,
    is_current: bool,
}

/// `owns`: what concerns the installation as a whole is for owners.
fn tabs(current: &str, owns: bool) -> Vec<Tab> {
    let all = [
        (PATH, "Organization", true),
        (WEBHOOKS, "Webhooks", true),
        (GUARDRAIL, "Guardrail", true),
        (SYSTEM, "System", owns),
    ];
    let there = all.into_iter().filter(|(.., there)| *there);
    there.map(|(address, name, _)| Tab { address, name, is_current: address == current }).collect()
}
