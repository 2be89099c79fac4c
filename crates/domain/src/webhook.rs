//! How an organization's own systems are told.

use crate::connection::words;

words!(
    /// What a delivery looks like.
    WebhookFormat {
        /// Events in our own words.
        Json = "json",
        /// Entries of the audit log as OTLP logs, for a collector.
        Otlp = "otlp",
    }
);
