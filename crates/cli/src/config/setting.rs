//! What a setting is: one row that flags, environment, file, reference and `config show` are all made from.

use std::{fmt, net::SocketAddr, time::Duration};

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Switch,
    Text,
    /// Never shown; has a `_file` form and may come from systemd credentials.
    Secret,
    Path,
    Address,
    Url,
    Duration,
    Size,
    Count,
    List,
    Choice(&'static [&'static str]),
}

/// One thing the operator can decide.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Path in the file: `egress.proxy` is `proxy` in the section `[egress]`.
    pub(crate) key: &'static str,
    /// Name in the environment, without `SWITCHBOARD_`.
    pub(crate) environment: &'static str,
    /// Name on the command line and the word for its value; most settings have none.
    pub(crate) flag: Option<(&'static str, &'static str)>,
    pub(crate) kind: Kind,
    /// As it would be written; empty is none.
    pub(crate) default: &'static str,
    /// One sentence, without the default.
    pub(crate) help: &'static str,
}

pub(crate) const PREFIX: &str = "SWITCHBOARD_";

impl Setting {
    pub(crate) const fn new(
        key: &'static str,
        environment: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self { key, environment, flag: None, kind, default, help }
    }

    pub(crate) const fn flag(mut self, name: &'static str, value: &'static str) -> Self {
        self.flag = Some((name, value));
        self
    }

    pub(crate) fn environment_name(&self) -> String {
        format!("{PREFIX}{}", self.environment)
    }

    pub(crate) fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// Name of the systemd credential (a file in `$CREDENTIALS_DIRECTORY`).
    pub(crate) fn credential_name(&self) -> String {
        self.environment.to_ascii_lowercase()
    }

    /// Why a text is no value of this setting.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        let wrong = |expected: &dyn fmt::Display| Err(format!("is not {expected}"));
        match self.kind {
            Kind::Switch if parse_switch(text).is_none() => wrong(&"true or false"),
            Kind::Address if text.parse::<SocketAddr>().is_err() => {
                wrong(&"an address and port such as 127.0.0.1:8080 or [::1]:8080")
            }
            Kind::Url if url::Url::parse(text).is_err() => {
                wrong(&"a URL such as https://switchboard.example")
            }
            Kind::Duration if parse_duration(text).is_none() => {
                wrong(&"a duration such as 30, \"500ms\", \"30s\" or \"15m\"")
            }
            Kind::Size if parse_size(text).is_none() => {
                wrong(&"a size such as 65536, \"64KiB\" or \"16MiB\"")
            }
            Kind::Count if text.parse::<u32>().is_err() => wrong(&"a whole number"),
            Kind::Choice(words) if !words.contains(&text) => {
                wrong(&format_args!("one of {}", words.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn parse_switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// A bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// A bare number is bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let number: u64 = number.parse().ok()?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(parse_duration("30"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("15m"), Some(Duration::from_secs(900)));
        assert_eq!(parse_duration("ten"), None);
        assert_eq!(parse_duration("-1s"), None);
        assert_eq!(parse_size("16MiB"), Some(16 << 20));
        assert_eq!(parse_size("16MB"), None, "decimal units would be a guess");
        assert_eq!(parse_size("99999999999999GiB"), None);
    }

    #[test]
    fn a_wrong_value_says_what_is_expected() {
        let listen = Setting::new("server.listen", "LISTEN", Kind::Address, "127.0.0.1:8080", "");
        assert!(listen.check("localhost").unwrap_err().contains("127.0.0.1:8080"));
        assert!(listen.check("[::1]:1").is_ok());
        let format = Setting::new("log.format", "LOG_FORMAT", Kind::Choice(&["auto", "json"]), "auto", "");
        assert_eq!(format.check("xml").unwrap_err(), "is not one of auto, json");
    }
}
