//! Signals: the first asks for an orderly end, the second ends at once.

use std::sync::Arc;

use switchboard_server::Readiness;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{failure::Failure, output};

/// 128 + SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

pub(super) fn on_signal(stop: CancellationToken, readiness: Arc<Readiness>) -> Result<(), Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::failed(format!("Signals can't be received: {error}.")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        // Red first: a load balancer sends nothing new while calls finish.
        readiness.stopping();
        tracing::info!("stopping: calls in progress may finish; a second signal ends at once");
        stop.cancel();
        either(&mut terminate, &mut interrupt).await;
        output::remark("Stopped at once, by a second signal.");
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
