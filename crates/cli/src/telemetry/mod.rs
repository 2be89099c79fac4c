//! What a running server says about itself: logs on stderr, metrics for Prometheus, traces for a collector.
//!
//! Nothing leaves the machine by default. Traces are off until `telemetry.otlp_endpoint` names a collector, and
//! go through `egress` like everything else.

mod filter;
mod log;
mod metrics;
mod otlp;

pub(crate) use log::{for_command, for_server};
pub(crate) use metrics::{Metrics, install as install_metrics};
