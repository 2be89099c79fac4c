//! The configuration file: TOML 1.1, read with the line of every key, so that an error can name it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    error::{Fault, Origin},
    oauth_clients::OauthClientEntry,
    setting::{Kind, Setting},
    suggest::nearest,
    table::{SETTINGS, find},
};

/// A value as written: a list, or anything else in its text form.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Raw {
    Text(String),
    List(Vec<String>),
}

/// One `[[stdio]]` entry: an upstream that is a child process.
#[derive(Clone, Default)]
pub(crate) struct StdioEntry {
    pub(crate) line: usize,
    pub(crate) slug: String,
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    /// May hold secrets: never shown.
    pub(crate) env: BTreeMap<String, String>,
}

/// What a file says.
#[derive(Default)]
pub(crate) struct Document {
    pub(crate) values: BTreeMap<&'static str, (Raw, Origin)>,
    /// `<key>_file`: the file that holds a secret.
    pub(crate) secret_files: BTreeMap<&'static str, (PathBuf, Origin)>,
    pub(crate) stdio: Vec<StdioEntry>,
    pub(crate) oauth_clients: Vec<OauthClientEntry>,
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    document: Document,
    faults: Vec<Fault>,
}

/// Reads a whole file; faults do not stop it, so that all of them are reported at once.
pub(crate) fn read(path: &Path, text: &str) -> (Document, Vec<Fault>) {
    let mut reader = Reader { path, text, document: Document::default(), faults: Vec::new() };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(error) => {
            let line = reader.line(error.span().map_or(0, |span| span.start));
            let detail = error.message().to_owned();
            reader.faults.push(Fault::Syntax { path: path.into(), line, detail });
        }
    }
    // The parser orders keys by name; people read from the top.
    reader.faults.sort_by_key(|fault| fault.line());
    (reader.document, reader.faults)
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|&&byte| byte == b'\n').count()
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::File { path: self.path.into(), line: self.line(offset) }
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let origin = self.origin(name.span().start);
            let name = name.get_ref().as_ref();
            let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let is_section = SETTINGS.iter().any(|setting| setting.key.starts_with(&format!("{key}.")));
            match value.get_ref() {
                DeValue::Table(inner) if is_section => self.table(&key, inner),
                DeValue::Array(entries) if key == "stdio" => self.stdio(entries),
                DeValue::Array(entries) if key == "oauth_clients" => self.oauth_clients(entries),
                _ if key == "oauth_clients" => {
                    self.shape(origin, key, "is a list of tables: write [[oauth_clients]]");
                }
                _ if key == "stdio" => self.shape(origin, key, "is a list of tables: write [[stdio]]"),
                _ if is_section => {
                    self.shape(origin, key, "is a section: write its settings below [section]")
                }
                _ => self.setting(key, value, origin),
            }
        }
    }

    fn shape(&mut self, origin: Origin, key: String, why: &str) {
        self.faults.push(Fault::Shape { origin, key, why: why.into() });
    }

    fn setting(&mut self, key: String, value: &Spanned<DeValue<'_>>, origin: Origin) {
        let of_secret = key.strip_suffix("_file").and_then(find).filter(|setting| setting.is_secret());
        if let Some(setting) = of_secret {
            match value.get_ref() {
                DeValue::String(path) => {
                    let path = PathBuf::from(path.as_ref());
                    self.document.secret_files.insert(setting.key, (path, origin));
                }
                _ => self.shape(origin, key, "is the path of a file, in quotes"),
            }
            return;
        }
        let Some(setting) = find(&key) else {
            let suggestion = nearest(&key, known_keys()).map(str::to_owned);
            self.faults.push(Fault::Unknown { origin, key, suggestion });
            return;
        };
        match raw(setting, value.get_ref()) {
            Ok(raw) => {
                self.document.values.insert(setting.key, (raw, origin));
            }
            Err(why) => self.faults.push(Fault::Value { origin, key: setting.key, why }),
        }
    }

    fn stdio(&mut self, entries: &DeArray<'_>) {
        for entry in entries {
            let line = self.line(entry.span().start);
            let DeValue::Table(table) = entry.get_ref() else {
                let origin = self.origin(entry.span().start);
                self.shape(origin, "stdio".into(), "is a list of tables: write [[stdio]]");
                continue;
            };
            let mut read = StdioEntry { line, ..StdioEntry::default() };
            for (name, value) in table {
                if let Err(fault) = self.stdio_member(&mut read, name, value.get_ref()) {
                    self.faults.push(fault);
                }
            }
            for (member, is_missing) in [("slug", read.slug.is_empty()), ("command", read.command.is_empty())]
            {
                if is_missing {
                    let origin = Origin::File { path: self.path.into(), line };
                    self.shape(origin, format!("stdio.{member}"), "is missing in this [[stdio]] entry");
                }
            }
            self.document.stdio.push(read);
        }
    }

    fn oauth_clients(&mut self, entries: &DeArray<'_>) {
        for entry in entries {
            let start = entry.span().start;
            let DeValue::Table(table) = entry.get_ref() else {
                let origin = self.origin(start);
                self.shape(origin, "oauth_clients".into(), "is a list of tables: write [[oauth_clients]]");
                continue;
            };
            let mut read = OauthClientEntry { line: self.line(start), ..OauthClientEntry::default() };
            for (name, value) in table {
                let origin = self.origin(name.span().start);
                if let Err(fault) = read.take(name, value.get_ref(), origin) {
                    self.faults.push(fault);
                }
            }
            for member in read.missing() {
                let origin = self.origin(start);
                self.shape(
                    origin,
                    format!("oauth_clients.{member}"),
                    "is missing in this [[oauth_clients]] entry",
                );
            }
            self.document.oauth_clients.push(read);
        }
    }

    fn stdio_member(
        &self,
        entry: &mut StdioEntry,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &DeValue<'_>,
    ) -> Result<(), Fault> {
        let origin = self.origin(name.span().start);
        let key = format!("stdio.{}", name.get_ref());
        match (name.get_ref().as_ref(), value) {
            ("slug", DeValue::String(text)) => match text.parse::<switchboard_domain::Slug>() {
                Ok(slug) => entry.slug = slug.to_string(),
                Err(error) => {
                    return Err(Fault::Shape { origin, key, why: format!("can't be used: {error}") });
                }
            },
            ("command", DeValue::String(text)) => entry.command = text.to_string(),
            ("args", DeValue::Array(items)) => {
                entry.args = strings(items).ok_or_else(|| Fault::Shape {
                    origin,
                    key,
                    why: "is a list of texts".into(),
                })?;
            }
            ("env", DeValue::Table(table)) => {
                for (name, value) in table {
                    let DeValue::String(text) = value.get_ref() else {
                        let key = format!("{key}.{}", name.get_ref());
                        return Err(Fault::Shape { origin, key, why: "is a text, in quotes".into() });
                    };
                    entry.env.insert(name.get_ref().to_string(), text.to_string());
                }
            }
            ("slug" | "command", _) => {
                return Err(Fault::Shape { origin, key, why: "is a text, in quotes".into() });
            }
            ("args", _) => return Err(Fault::Shape { origin, key, why: "is a list of texts".into() }),
            ("env", _) => return Err(Fault::Shape { origin, key, why: "is a table of texts".into() }),
            (given, _) => {
                let suggestion = nearest(given, ["slug", "command", "args", "env"]);
                let suggestion = suggestion.map(|name| format!("stdio.{name}"));
                return Err(Fault::Unknown { origin, key, suggestion });
            }
        }
        Ok(())
    }
}

fn known_keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key)
}

pub(super) fn strings(items: &DeArray<'_>) -> Option<Vec<String>> {
    items
        .iter()
        .map(|item| match item.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        })
        .collect()
}

fn raw(setting: &Setting, value: &DeValue<'_>) -> Result<Raw, String> {
    let text = match value {
        DeValue::Array(items) if setting.kind == Kind::List => {
            return strings(items).map(Raw::List).ok_or_else(|| "is not a list of texts".into());
        }
        DeValue::String(_) if setting.kind == Kind::List => {
            return Err("is a list: write [\"…\"]".into());
        }
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Boolean(value) if setting.kind == Kind::Switch => value.to_string(),
        _ => return Err("has the wrong type".into()),
    };
    setting.check(&text)?;
    Ok(Raw::Text(text))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
