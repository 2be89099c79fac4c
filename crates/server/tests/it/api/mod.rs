//! `/api/v1`

mod audit;
mod audit_chain;
mod bad_input;
mod client_credentials;
mod connections;
mod credentials;
mod limits;
mod matrix;
mod openapi;
mod organization;
mod owners;
mod rest;
mod revocations;
mod rules;
mod tokens;
mod tools;
