//! Storage on both of its databases, real ones: an SQLite file and a private PostgreSQL per test.

#![expect(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod approvals;
mod audit;
mod changes;
mod connections;
mod durability;
mod faults;
mod identities;
mod keys;
mod leases;
mod members;
mod migrations;
mod power_loss;
mod schema;
mod statements;
mod tenancy;

use switchboard_domain::Timestamp;
use switchboard_testkit::database::NOW;

/// The test clock's start, moved by seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW + seconds * 1_000_000)
}
