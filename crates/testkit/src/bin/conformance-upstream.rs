//! Serves the conformance upstream until it is ended; its URL is the one line it prints.

use std::io::Write as _;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let upstream = switchboard_testkit::conformance::ConformanceUpstream::start().await;
    let mut out = std::io::stdout();
    writeln!(out, "{}", upstream.url())?;
    out.flush()?;
    std::future::pending().await
}
