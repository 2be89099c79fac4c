//! What a start says on stdout: one line a fact, for people and for scripts that wait for `listening`.

use std::{net::SocketAddr, path::Path};

use url::Url;

use crate::{
    config::Config,
    output,
    startup::{KeyPlace, Opened, OpenedKeys, location_for_people},
};

#[derive(Debug, Clone, Copy)]
pub(super) struct Transcript;

impl Transcript {
    pub(super) fn begin() -> Self {
        let (version, system, machine) =
            (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
        output::print(&format!("switchboard {version} ({system} {machine})"));
        Self
    }

    fn line(self, name: &str, fact: &str) {
        output::print(&format!("{name:<9} {fact}"));
    }

    /// `made`: whether the directory is new; `None` when none is needed.
    pub(super) fn data(self, config: &Config, made: Option<bool>) {
        let Some(made) = made else { return };
        let note = if made { "        (created)" } else { "" };
        self.line("data", &format!("{}{note}", absolute(&config.data_dir)));
    }

    pub(super) fn database(self, config: &Config, opened: &Opened) {
        let place = match &config.database.url {
            Some(_) => location_for_people(config),
            None => format!("sqlite {}", absolute(&config.data_dir.join("switchboard.db"))),
        };
        let (before, now) = (opened.schema_before, opened.schema.applied);
        let schema = if before == now {
            format!("schema {now}")
        } else {
            format!("schema {before} → {now} applied")
        };
        self.line("database", &format!("{place}   {schema}"));
    }

    pub(super) fn keys(self, keys: &OpenedKeys) {
        let fact = match (&keys.place, keys.generated) {
            (KeyPlace::File(path), true) => format!(
                "generated {}  ← back this up; without it stored sign-ins cannot be read",
                absolute(path)
            ),
            (KeyPlace::File(path), false) => absolute(path),
            (KeyPlace::Setting(place), _) => format!("from {place}"),
        };
        self.line("keys", &fact);
    }

    pub(super) fn public(self, config: &Config, url: &Url) {
        let shown = url.as_str().trim_end_matches('/');
        let note = if url.scheme() == "https" {
            ""
        } else if config.insecure_http && !config.listen.ip().is_loopback() {
            "   ⚠ without TLS: tokens and passwords cross the network in the clear"
        } else {
            "   ⚠ set SWITCHBOARD_PUBLIC_URL to your https address before connecting claude.ai or ChatGPT"
        };
        self.line("public", &format!("{shown}{note}"));
    }

    pub(super) fn metrics(self, address: Option<SocketAddr>) {
        if let Some(address) = address {
            self.line("metrics", &format!("http://{address}/metrics"));
        }
    }

    pub(super) fn listening(self, address: SocketAddr) {
        self.line("listening", &format!("http://{address}"));
    }

    /// Text of its own below the facts.
    pub(super) fn block(self, text: &str) {
        let indented: Vec<String> = text
            .lines()
            .map(|line| if line.is_empty() { String::new() } else { format!("  {line}") })
            .collect();
        output::print(&format!("\n{}", indented.join("\n")));
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}
