//! Configurations of MCP clients, read as text: `mcpServers` (Claude, Cursor, Windsurf and most others), `servers` (VS
//! Code), and `server.json` of the MCP registry. What they name becomes connections here; what they would start on the
//! reader's own machine does not.

use std::collections::BTreeMap;

use serde_json::Value;
use switchboard_domain::{AuthType, SecretValue, Transport};

use super::draft::slug_of;

/// More than anybody has.
const MOST: usize = 50;

/// What one entry comes to.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// A server at an address.
    Remote(Remote),
    /// A program on the machine of whoever has the file.
    Program(String),
    Unreadable(&'static str),
}

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) url: String,
    pub(super) transport: Transport,
    pub(super) key: Key,
}

/// How it authenticates, as far as the file says.
#[derive(Debug)]
pub(super) enum Key {
    /// Not said: the server is asked.
    Unknown,
    /// One header; the value is missing where the file only names a place for it.
    One {
        header: String,
        scheme: Option<String>,
        value: Option<SecretValue>,
    },
    Headers(BTreeMap<String, SecretValue>),
}

impl Key {
    pub(super) const fn auth_type(&self) -> Option<AuthType> {
        match self {
            Self::Unknown => None,
            Self::One { .. } => Some(AuthType::ApiKey),
            Self::Headers(_) => Some(AuthType::Headers),
        }
    }
}

/// All entries, or why the text can't be read.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        format!("This is not JSON: {error}. Paste the whole file; comments and commas at the end of a list are not JSON.")
    })?;
    let listed = ["mcpServers", "servers", "context_servers"].into_iter().find_map(|name| {
        let of_mcp = value["mcp"][name].as_object();
        value[name].as_object().or(of_mcp)
    });
    let entries: Vec<Entry> = match listed {
        Some(servers) => servers.iter().map(|(name, server)| entry(name, server)).collect(),
        None if value["remotes"].is_array() || value["packages"].is_array() => vec![of_registry(&value)],
        None if value["url"].is_string() || value["command"].is_string() => vec![entry("server", &value)],
        None => return Err(
            "There is no `mcpServers`, `servers` or `remotes` in it. Paste the file that your client reads, such as \
             mcp.json or claude_desktop_config.json."
                .to_owned(),
        ),
    };
    match entries.len() {
        0 => Err("It names no server.".to_owned()),
        count if count > MOST => Err(format!("It names {count} servers; at most {MOST} are taken at once.")),
        _ => Ok(entries),
    }
}

fn entry(name: &str, server: &Value) -> Entry {
    let address = ["url", "serverUrl", "httpUrl"].into_iter().find_map(|member| server[member].as_str());
    let outcome = match (address, bridged(server), server["command"].as_str()) {
        (Some(url), ..) => Outcome::Remote(Remote {
            transport: transport(server["type"].as_str().or(server["transport"].as_str()), url),
            url: url.to_owned(),
            key: key(&server["headers"]),
        }),
        (None, Some(url), _) => Outcome::Remote(Remote {
            transport: transport(None, url),
            url: url.to_owned(),
            key: Key::Unknown,
        }),
        (None, None, Some(command)) => Outcome::Program(command.to_owned()),
        (None, None, None) => Outcome::Unreadable("It has neither `url` nor `command`."),
    };
    Entry { name: name.to_owned(), slug: slug_of(name), outcome }
}

/// The address that a bridge such as `npx mcp-remote URL` is started with: here it is reached without one.
fn bridged(server: &Value) -> Option<&str> {
    let mut words = server["args"].as_array()?.iter().filter_map(Value::as_str);
    words.clone().find(|word| word.starts_with("mcp-remote") || word.starts_with("mcp-proxy"))?;
    words.find(|word| word.starts_with("https://") || word.starts_with("http://"))
}

fn of_registry(server: &Value) -> Entry {
    let whole = server["name"].as_str().unwrap_or("server");
    let name = whole.rsplit('/').next().unwrap_or(whole);
    let outcome = match server["remotes"].as_array().and_then(|remotes| remotes.first()) {
        Some(remote) => match remote["url"].as_str() {
            Some(url) => {
                let named = remote["headers"].as_array().and_then(|headers| headers.first());
                let header = named.and_then(|header| header["name"].as_str());
                Outcome::Remote(Remote {
                    transport: transport(remote["type"].as_str(), url),
                    url: url.to_owned(),
                    key: header.map_or(Key::Unknown, |header| Key::One {
                        header: header.to_owned(),
                        scheme: (header.eq_ignore_ascii_case("authorization")).then(|| "Bearer".to_owned()),
                        value: None,
                    }),
                })
            }
            None => Outcome::Unreadable("Its first remote has no `url`."),
        },
        None => {
            Outcome::Program(server["packages"][0]["identifier"].as_str().unwrap_or("a package").to_owned())
        }
    };
    let title = server["title"].as_str().unwrap_or(name);
    Entry { name: title.to_owned(), slug: slug_of(name), outcome }
}

fn transport(word: Option<&str>, url: &str) -> Transport {
    match word {
        Some("sse") => Transport::Sse,
        None if url.trim_end_matches('/').ends_with("/sse") => Transport::Sse,
        _ => Transport::StreamableHttp,
    }
}

fn key(headers: &Value) -> Key {
    let Some(headers) = headers.as_object().filter(|headers| !headers.is_empty()) else {
        return Key::Unknown;
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut given = headers.iter();
    if let (Some((header, value)), None) = (given.next(), given.next()) {
        let value = text(value);
        let (scheme, secret) = match value.split_once(' ') {
            Some((scheme, secret)) if header.eq_ignore_ascii_case("authorization") => {
                (Some(scheme.to_owned()), secret.trim().to_owned())
            }
            _ => (None, value),
        };
        let value = (!is_place(&secret) && !secret.is_empty()).then(|| SecretValue::new(secret));
        return Key::One { header: header.clone(), scheme, value };
    }
    let values = headers.iter().map(|(name, value)| (name.clone(), SecretValue::new(text(value))));
    Key::Headers(values.collect())
}

/// `${API_KEY}`, `{{key}}`, `<your key>`: not a value, but where one goes.
fn is_place(text: &str) -> bool {
    let between = |open: char, close: char| text.starts_with(open) && text.ends_with(close);
    text.contains("${") || text.contains("{{") || between('<', '>') || text.to_lowercase().starts_with("your")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Entry {
        let mut entries = read(text).unwrap();
        assert_eq!(entries.len(), 1);
        entries.remove(0)
    }

    fn remote(entry: Entry) -> Remote {
        match entry.outcome {
            Outcome::Remote(remote) => remote,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_files_of_clients_are_read() {
        let claude = r#"{ "mcpServers": { "Linear App": { "url": "https://mcp.linear.app/mcp" } } }"#;
        assert_eq!(one(claude).slug, "linear-app");
        assert_eq!(remote(one(claude)).key.auth_type(), None);
        let code = r#"{ "servers": { "old": { "type": "sse", "url": "https://x.example/events" } } }"#;
        assert_eq!(remote(one(code)).transport, Transport::Sse);
        let bridge = r#"{ "mcpServers": { "b": { "command": "npx", "args": ["-y", "mcp-remote@latest", "https://x.example/sse"] } } }"#;
        assert_eq!(remote(one(bridge)).url, "https://x.example/sse");
        let program =
            r#"{ "mcpServers": { "files": { "command": "npx", "args": ["server-filesystem", "/"] } } }"#;
        assert!(matches!(one(program).outcome, Outcome::Program(command) if command == "npx"));
        let registry = r#"{ "name": "com.example/weather", "remotes": [{ "type": "streamable-http", "url": "https://w.example/mcp" }] }"#;
        assert_eq!(
            (one(registry).slug.as_str(), remote(one(registry)).url.as_str()),
            ("weather", "https://w.example/mcp")
        );
    }

    #[test]
    fn keys_are_taken_and_places_for_them_are_not() {
        let with = |value: &str| {
            let text = format!(
                r#"{{ "mcpServers": {{ "a": {{ "url": "https://x.example/mcp", "headers": {{ "Authorization": "{value}" }} }} }} }}"#
            );
            match remote(one(&text)).key {
                Key::One { scheme, value, .. } => (scheme, value.map(|value| value.expose().to_owned())),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(with("Bearer abc"), (Some("Bearer".into()), Some("abc".into())));
        for place in ["Bearer ${KEY}", "Bearer <token>", "Bearer YOUR_KEY"] {
            assert_eq!(with(place), (Some("Bearer".into()), None), "{place}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_said() {
        for bad in ["", "nonsense", "{}", "[]", r#"{ "mcpServers": {} }"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
