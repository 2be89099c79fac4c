//! The parts that other crates' tests stand on, tested themselves.

mod raw_client;
mod reference_upstream;
mod scripted_upstream;
