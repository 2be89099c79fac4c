//! The surfaces, against a whole Switchboard in this process. The files mirror the routes.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod account;
mod allowed_clients;
mod api;
mod approvals;
mod at_rest;
mod audited;
mod call_limits;
mod client_documents;
mod connect;
mod connect_attacks;
mod direct;
mod home;
mod hostile_upstream;
mod identity;
mod identity_hostile;
mod identity_tokens;
mod identity_vectors;
mod intent;
mod keep_alive;
mod listener;
mod members;
mod modes;
mod mutations;
mod narrowed;
mod oauth;
mod oauth_clients;
mod oauth_vectors;
mod one_call;
mod operator_rules;
mod pages;
mod protocol;
mod rollout;
mod search_size;
mod service_accounts;
mod setup_page;
mod sign_in;
mod strangers;
mod support;
mod surfaces;
mod upstream_token_processes;
mod upstream_tokens;
mod upstreams;
mod user_oidc;
mod webhooks;
