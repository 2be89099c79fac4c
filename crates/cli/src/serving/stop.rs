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
    // A terminal that closes, unless somebody (`nohup`) said that this is no reason to end.
    let mut hangup = if ignores_hangup() { None } else { Some(listen(SignalKind::hangup())?) };
    tokio::spawn(async move {
        let closed = async {
            match hangup.as_mut() {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = either(&mut terminate, &mut interrupt) => {}
            () = closed => {}
        }
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

/// As the process was started: bit 0 of the mask of ignored signals is SIGHUP (proc(5)).
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
