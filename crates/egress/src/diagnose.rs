//! What a connection check shows when an upstream cannot be reached: how far the way there works.

use std::time::Duration;

use switchboard_domain::Stage;
use tokio::time::Instant;

use crate::{
    Egress,
    error::EgressError,
    guard::{GuardedUrl, Scheme},
};

/// One step of the way and how long it took, or why it failed.
pub type StageOutcome = (Stage, Result<Duration, EgressError>);

impl Egress {
    /// Resolves, connects and secures anew, beside the pool, and reports step by step up to the first
    /// failure. For what the guard refuses there is nothing but the refusal.
    pub async fn diagnose(&self, url: &GuardedUrl) -> Vec<StageOutcome> {
        let connections = &self.shared.connections;
        let target = url.target();
        let mut outcomes = Vec::with_capacity(3);
        let mut step = |stage, started: Instant, failure: Option<EgressError>| {
            outcomes.push((stage, failure.map_or_else(|| Ok(started.elapsed()), Err)));
        };

        let started = Instant::now();
        let addresses = connections.resolve(target).await;
        step(Stage::NameResolution, started, addresses.as_ref().err().cloned());
        let Ok(addresses) = addresses else { return outcomes };

        let started = Instant::now();
        let opened = connections.open(target, &addresses).await;
        step(Stage::Tcp, started, opened.as_ref().err().cloned());
        let Ok(opened) = opened else { return outcomes };

        if target.scheme == Scheme::Https {
            let started = Instant::now();
            let secured = connections.secure(target, opened).await;
            step(Stage::Tls, started, secured.err());
        }
        outcomes
    }
}
