//! An upstream that is a child process speaking newline-delimited JSON on its pipes. From the operator's
//! configuration file only: no request can start a process.

use std::collections::BTreeMap;

use serde::Deserialize;
use switchboard_egress::{Egress, child};
use tokio::sync::broadcast;

use super::{Hint, UpstreamError, channel::ChannelWire, side::Sides};

/// One `[[stdio]]` entry of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StdioCommand {
    /// Slug of the connection.
    pub slug: switchboard_domain::Slug,
    pub command: String,
    #[serde(default)]
    pub args: Vec<String>,
    /// The child sees these and `PATH`, `HOME`, `LANG`; nothing else of our environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

pub(crate) async fn start(
    egress: &Egress,
    command: &StdioCommand,
    (hints, sides): (broadcast::Sender<Hint>, Sides),
) -> Result<ChannelWire, UpstreamError> {
    let spec = child::ChildSpec {
        command: command.command.clone(),
        args: command.args.clone(),
        env: command.env.clone(),
        working_dir: None,
    };
    let child::ChildProcess { mut reader, mut writer, process } = child::spawn(&spec, egress.limits())
        .map_err(|error| UpstreamError::Closed { reason: error.to_string(), may_have_run: false })?;
    let (wire, switch, mut queue, stop) = ChannelWire::new(hints, sides);
    // Two tasks: a child that waits for its output to be read must not keep us from reading it while we wait for
    // it to read its input.
    let writing = tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if writer.write_line(&message).await.is_err() {
                break;
            }
        }
        writer
    });
    tokio::spawn(async move {
        let reason = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break "it was closed".to_owned(),
                line = reader.next_line() => match line {
                    Some(Ok(line)) if line.is_empty() => {}
                    Some(Ok(line)) => switch.receive(&line),
                    None => break ended(&process.stderr().text()),
                    Some(Err(error)) => break format!("its output can't be read ({error})"),
                },
            }
        };
        switch.close(&reason);
        // Dropping the writer closes the child's input; without it the process group is ended at once.
        writing.abort();
        match writing.await {
            Ok(writer) => drop(process.close(writer).await),
            Err(_) => drop(process),
        }
    });
    Ok(wire)
}

fn ended(stderr: &str) -> String {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
    if last.is_empty() {
        "the process ended".into()
    } else {
        format!("the process ended; its last words: {}", super::plain(last))
    }
}
