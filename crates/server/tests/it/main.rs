//! The surfaces, against a whole Switchboard in this process. The files mirror the routes.

mod hostile_upstream;
mod one_call;
mod support;
