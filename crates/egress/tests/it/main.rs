//! The way out against real sockets: scripted servers on 127.0.0.1, a private certificate authority, real
//! child processes.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bodies;
mod child;
mod connections;
mod deadlines;
mod guard;
mod proxy;
mod redirects;
mod support;
mod tls;
