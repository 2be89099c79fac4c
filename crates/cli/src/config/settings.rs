//! Bringing the sources together.

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use switchboard_domain::SecretValue;
use url::Url;

use super::{
    error::{ConfigError, Fault, Origin},
    file::{self, Raw, StdioEntry},
    flags::SettingFlags,
    oauth_clients::OauthClientEntry,
    setting::{Kind, PREFIX, Setting, parse_duration, parse_size, parse_switch},
    suggest::{is_typing_error, nearest},
    table::{SETTINGS, find},
};

/// Far more than any secret; a larger file is some other file.
const MAX_SECRET_BYTES: u64 = 64 * 1024;
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The process's environment, as a value so that tests can make one.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(crate) fn of_process() -> Self {
        let valid = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(valid.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Names that look like a misspelt setting, each with what it may mean. Others with our prefix are left
    /// alone: container platforms make up variables such as `SWITCHBOARD_SERVICE_HOST`.
    pub(crate) fn suspicious(&self) -> Vec<(String, String)> {
        let known = known_variables();
        let ours = self.0.keys().filter(|name| name.starts_with(PREFIX) && !known.contains(*name));
        ours.filter_map(|name| {
            let meant = nearest(&name[PREFIX.len()..], known.iter().map(|known| &known[PREFIX.len()..]))?;
            is_typing_error(&name[PREFIX.len()..], meant).then(|| (name.clone(), format!("{PREFIX}{meant}")))
        })
        .collect()
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

fn known_variables() -> Vec<String> {
    let mut known: Vec<String> =
        ["CONFIG", "SERVER", "TOKEN", "TOKEN_FILE"].iter().map(|name| format!("{PREFIX}{name}")).collect();
    for setting in SETTINGS.iter() {
        known.push(setting.environment_name());
        if setting.is_secret() {
            known.push(format!("{}_FILE", setting.environment_name()));
        }
    }
    known
}

#[derive(Clone)]
pub(super) struct Found {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// Every value that was given, with its origin. Defaults fill the rest.
pub(crate) struct Settings {
    found: BTreeMap<&'static str, Found>,
    pub(crate) stdio: Vec<StdioEntry>,
    pub(crate) oauth_clients: Vec<OauthClientEntry>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn load(flags: &SettingFlags, environment: &Environment) -> Result<Self, ConfigError> {
        let mut faults = Vec::new();
        let mut settings =
            Self { found: BTreeMap::new(), stdio: Vec::new(), oauth_clients: Vec::new(), file: None };
        settings.take_environment(environment, &mut faults);
        settings.take_flags(flags, &mut faults);
        // Last, because flags and environment say where it is; it only fills what they left open.
        settings.take_file(flags, environment, &mut faults);
        settings.take_credentials(environment, &mut faults);
        if faults.is_empty() { Ok(settings) } else { Err(ConfigError(faults)) }
    }

    fn take_flags(&mut self, flags: &SettingFlags, faults: &mut Vec<Fault>) {
        for (key, value) in &flags.values {
            let Some((setting, (name, _))) = find(key).and_then(|setting| Some((setting, setting.flag?)))
            else {
                continue;
            };
            self.take_text(setting, value, Origin::Flag(name), faults);
        }
    }

    fn take_environment(&mut self, environment: &Environment, faults: &mut Vec<Fault>) {
        for setting in SETTINGS.iter() {
            let name = setting.environment_name();
            let file_name = format!("{name}_FILE");
            let direct = environment.get(&name);
            let file = environment.get(&file_name).filter(|_| setting.is_secret());
            match (direct, file) {
                (Some(_), Some(_)) => {
                    faults.push(Fault::Twice { key: setting.key, first: name, second: file_name });
                }
                (Some(text), None) => self.take_text(setting, text, Origin::Environment(name), faults),
                (None, Some(path)) => self.take_secret(setting, Path::new(path), file_name, faults),
                (None, None) => {}
            }
        }
    }

    fn take_text(&mut self, setting: &'static Setting, text: &str, origin: Origin, faults: &mut Vec<Fault>) {
        let raw = if setting.kind == Kind::List {
            Raw::List(
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect(),
            )
        } else {
            if let Err(why) = setting.check(text) {
                faults.push(Fault::Value { origin, key: setting.key, why });
                return;
            }
            Raw::Text(text.to_owned())
        };
        self.found.insert(setting.key, Found { raw, origin });
    }

    fn take_secret(
        &mut self,
        setting: &'static Setting,
        path: &Path,
        named_by: String,
        faults: &mut Vec<Fault>,
    ) {
        match read_bounded(path, MAX_SECRET_BYTES) {
            Ok(text) => {
                let origin = Origin::SecretFile { named_by, path: path.into() };
                self.found.insert(setting.key, Found { raw: Raw::Text(text.trim_end().to_owned()), origin });
            }
            Err(source) => faults.push(Fault::SecretFile { named_by, path: path.into(), source }),
        }
    }

    fn take_file(&mut self, flags: &SettingFlags, environment: &Environment, faults: &mut Vec<Fault>) {
        let asked = flags.file.clone().or_else(|| environment.get("SWITCHBOARD_CONFIG").map(PathBuf::from));
        let beside = || {
            let in_data = Path::new(self.text("data_dir").unwrap_or_default()).join("switchboard.toml");
            [PathBuf::from("switchboard.toml"), in_data].into_iter().find(|path| path.is_file())
        };
        let Some(path) = asked.or_else(beside) else { return };
        let text = match read_bounded(&path, MAX_FILE_BYTES) {
            Ok(text) => text,
            Err(source) => {
                faults.push(Fault::File { path, source });
                return;
            }
        };
        let (document, found) = file::read(&path, &text);
        faults.extend(found);
        for (key, (_, origin)) in &document.secret_files {
            if document.values.contains_key(key) {
                let (first, second) = (origin.to_string(), document.values[key].1.to_string());
                faults.push(Fault::Twice { key, first, second });
            }
        }
        for (key, (raw, origin)) in document.values {
            self.found.entry(key).or_insert(Found { raw, origin });
        }
        for (key, (secret, origin)) in document.secret_files {
            let Some(setting) = find(key).filter(|setting| !self.found.contains_key(setting.key)) else {
                continue;
            };
            let secret = path.parent().map_or_else(|| secret.clone(), |parent| parent.join(&secret));
            self.take_secret(setting, &secret, origin.to_string(), faults);
        }
        self.stdio = document.stdio;
        self.oauth_clients = document.oauth_clients;
        for entry in &mut self.oauth_clients {
            let files = [
                ("private_key_file", &entry.private_key_file),
                ("client_secret_file", &entry.client_secret_file),
            ];
            let Some((member, secret)) =
                files.into_iter().find_map(|(member, file)| Some((member, file.as_ref()?)))
            else {
                continue;
            };
            let secret = path.parent().map_or_else(|| secret.clone(), |parent| parent.join(secret));
            match read_bounded(&secret, MAX_SECRET_BYTES) {
                Ok(text) => entry.client_secret = Some(SecretValue::new(text.trim_end())),
                Err(source) => {
                    let named_by = format!("oauth_clients.{member} (line {})", entry.line);
                    faults.push(Fault::SecretFile { named_by, path: secret, source });
                }
            }
        }
        self.file = Some(path);
    }

    /// systemd's `LoadCredential=` (systemd.exec(5)): files in a directory of the unit's own.
    fn take_credentials(&mut self, environment: &Environment, faults: &mut Vec<Fault>) {
        let Some(directory) = environment.get("CREDENTIALS_DIRECTORY") else { return };
        for setting in SETTINGS.iter().filter(|setting| setting.is_secret()) {
            let path = Path::new(directory).join(setting.credential_name());
            if self.found.contains_key(setting.key) || !path.is_file() {
                continue;
            }
            self.take_secret(setting, &path, "$CREDENTIALS_DIRECTORY".into(), faults);
            if let Some(found) = self.found.get_mut(setting.key) {
                found.origin = Origin::Credential(path);
            }
        }
    }

    pub(super) fn found(&self, key: &str) -> Option<&Found> {
        self.found.get(key)
    }

    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.found.get(key).map_or(Origin::Default, |found| found.origin.clone())
    }

    /// The text given, or the default; `None` when there is neither.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let given = match self.found.get(key).map(|found| &found.raw) {
            Some(Raw::Text(text)) => Some(text.as_str()),
            _ => find(key).map(|setting| setting.default),
        };
        given.filter(|text| !text.is_empty())
    }

    // What follows reads values that `Setting::check` has seen: none of them fails.

    pub(crate) fn switch(&self, key: &str) -> bool {
        self.text(key).and_then(parse_switch).unwrap_or(false)
    }

    pub(crate) fn secret(&self, key: &str) -> Option<SecretValue> {
        self.text(key).map(SecretValue::new)
    }

    pub(crate) fn address(&self, key: &str) -> Option<SocketAddr> {
        self.text(key)?.parse().ok()
    }

    pub(crate) fn url(&self, key: &str) -> Option<Url> {
        self.text(key)?.parse().ok()
    }

    pub(crate) fn duration(&self, key: &str) -> Duration {
        self.text(key).and_then(parse_duration).unwrap_or_default()
    }

    pub(crate) fn size(&self, key: &str) -> u64 {
        self.text(key).and_then(parse_size).unwrap_or_default()
    }

    pub(crate) fn count(&self, key: &str) -> u32 {
        self.text(key).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn list(&self, key: &str) -> &[String] {
        match self.found.get(key).map(|found| &found.raw) {
            Some(Raw::List(items)) => items,
            _ => &[],
        }
    }
}

fn read_bounded(path: &Path, limit: u64) -> std::io::Result<String> {
    let mut text = String::new();
    let length = std::fs::File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if length as u64 > limit {
        return Err(std::io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
