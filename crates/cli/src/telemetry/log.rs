//! The log: one line an event on stderr, for people on a terminal and JSON elsewhere.

use std::io::{self, IsTerminal as _};

use opentelemetry_sdk::trace::SdkTracerProvider;
use switchboard_egress::Egress;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::{filter::filter, otlp};
use crate::{
    config::{Config, LogFormat, LogSettings},
    failure::Failure,
};

/// Keeps the exporter of traces alive; flushes it at the end.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is left. Blocking: the exporter has a thread of its own.
    pub(crate) async fn finish(self) {
        let Some(traces) = self.traces else { return };
        let flushed = tokio::task::spawn_blocking(move || traces.shutdown()).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Log, and traces if a collector is set.
pub(crate) fn for_server(config: &Config, egress: &Egress) -> Result<Telemetry, Failure> {
    let provider = config.otlp.as_ref().map(|settings| otlp::provider(settings, egress)).transpose()?;
    let traces = provider.as_ref().map(otlp::layer);
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> =
        [Some(layer(&config.log)), traces].into_iter().flatten().collect();
    // Only a test that starts two servers in one process has a subscriber already.
    let _ = tracing_subscriber::registry().with(layers.with_filter(filter(&config.log.filter)?)).try_init();
    Ok(Telemetry { traces: provider })
}

/// Warnings only: what a command has to say is its output.
pub(crate) fn for_command(log: &LogSettings) -> Result<(), Failure> {
    let quiet = if log.filter == "info" { "warn" } else { &log.filter };
    let _ = tracing_subscriber::registry().with(layer(log).with_filter(filter(quiet)?)).try_init();
    Ok(())
}

fn layer(settings: &LogSettings) -> Box<dyn Layer<Registry> + Send + Sync> {
    let is_terminal = io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !is_terminal,
    };
    if json {
        return tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(io::stderr)
            .boxed();
    }
    let colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt::layer().compact().with_ansi(colour).with_writer(io::stderr).boxed()
}
