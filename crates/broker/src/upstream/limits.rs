//! Bounds of the upstream side. Each has a default, a setting of the same name under `[upstream]`, and stands in
//! the error that it causes.

use std::time::Duration;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamLimits {
    /// Calls at once to one connection.
    pub max_concurrent: usize,
    /// Calls that wait for a place at one connection.
    pub max_queued: usize,
    /// Failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// First pause of an open breaker; doubles each time.
    #[serde(rename = "breaker_pause_seconds", deserialize_with = "seconds")]
    pub breaker_pause: Duration,
    #[serde(rename = "breaker_max_pause_seconds", deserialize_with = "seconds")]
    pub breaker_max_pause: Duration,
    /// Whole tool call.
    #[serde(rename = "call_timeout", deserialize_with = "seconds")]
    pub call: Duration,
    /// Whole call whose client can be asked meanwhile: a person may have to answer.
    #[serde(rename = "interactive_timeout", deserialize_with = "seconds")]
    pub interactive: Duration,
    /// Connecting and greeting, a check, one page of a listing.
    #[serde(rename = "open_timeout", deserialize_with = "seconds")]
    pub open: Duration,
    /// Until the first byte of an answer.
    #[serde(rename = "first_byte_timeout", deserialize_with = "seconds")]
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    #[serde(rename = "idle_timeout", deserialize_with = "seconds")]
    pub idle: Duration,
    /// Largest SSE event or line of a child process, in bytes.
    pub max_event_bytes: usize,
    /// Largest answer, in bytes.
    pub max_answer_bytes: u64,
    /// How much of an HTTP error is read, in bytes.
    pub max_error_bytes: usize,
    pub max_tools: usize,
    pub max_pages: usize,
    /// Steps of validating the arguments of one call against the tool's schema, at the worst.
    pub max_validation_steps: u64,
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| serde::de::Error::custom("expected a number of seconds, such as 30 or 0.5"))
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            max_concurrent: 64,
            max_queued: 512,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(1),
            breaker_max_pause: Duration::from_secs(60),
            call: Duration::from_secs(120),
            interactive: Duration::from_secs(600),
            open: Duration::from_secs(30),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            max_event_bytes: 16 * 1024 * 1024,
            max_answer_bytes: 32 * 1024 * 1024,
            max_error_bytes: 64 * 1024,
            max_tools: 2_000,
            max_pages: 100,
            max_validation_steps: 500_000,
        }
    }
}
