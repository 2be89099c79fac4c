//! Known third-party MCP servers: a list that comes with the program, to start a connection from.
//!
//! Addresses and rules of registration move; the list says when it was checked, and discovery has the last word.

use std::sync::LazyLock;

use serde_json::Value;

use crate::search::distance;

const TEXT: &str = include_str!("../data/known_servers.json");

static LIST: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(TEXT).unwrap_or_default());

/// When the list was last gone through, as `2026-11-20`.
pub fn known_servers_checked_at() -> &'static str {
    LIST["checked_at"].as_str().unwrap_or_default()
}

/// The servers, as JSON objects with at least `slug`, `name` and `auth`.
pub fn known_servers() -> &'static [Value] {
    LIST["servers"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Those that a text is about: words of a name, slug or category, or the host of an address.
pub fn find_known_servers(text: &str) -> Vec<&'static Value> {
    let wanted = text.trim().to_lowercase();
    let host = host_of(&wanted);
    let member = |server: &Value, name: &str| server[name].as_str().unwrap_or_default().to_lowercase();
    known_servers()
        .iter()
        .filter(|server| {
            let by_host = host.is_some_and(|host| host_of(&member(server, "url")) == Some(host));
            let texts = [member(server, "slug"), member(server, "name"), member(server, "category")];
            by_host || texts.iter().any(|text| text.contains(&wanted))
        })
        .collect()
}

/// Those whose name is a slip of the pen away from a text in which nothing was found: `linaer`, `gitub`.
pub fn similar_known_servers(text: &str) -> Vec<&'static Value> {
    let wanted = text.trim().to_lowercase();
    let most = match wanted.len() {
        0..=2 => return Vec::new(),
        3..=4 => 1,
        _ => 2,
    };
    let away = |server: &Value| {
        let names = [&server["slug"], &server["name"]];
        let names = names.into_iter().filter_map(Value::as_str).map(str::to_lowercase);
        names.filter_map(|name| distance(&wanted, &name, most)).min()
    };
    let mut found: Vec<(usize, &Value)> =
        known_servers().iter().filter_map(|server| Some((away(server)?, server))).collect();
    found.sort_by_key(|(away, _)| *away);
    found.into_iter().map(|(_, server)| server).collect()
}

/// The host in a URL or in a text that looks like one.
pub fn host_of(text: &str) -> Option<&str> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    (host.contains('.')).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        assert!(known_servers().len() > 50);
        assert!(!known_servers_checked_at().is_empty());
        let mut slugs = std::collections::HashSet::new();
        for server in known_servers() {
            let slug = server["slug"].as_str().unwrap();
            assert!(slug.parse::<switchboard_domain::Slug>().is_ok(), "{slug}");
            assert!(slugs.insert(slug), "{slug} is there twice");
            assert!(server["name"].is_string() && server["auth"].is_string(), "{slug}");
        }
    }

    #[test]
    fn a_server_is_found_by_what_people_have() {
        let slugs = |text| -> Vec<&str> {
            find_known_servers(text).into_iter().filter_map(|server| server["slug"].as_str()).collect()
        };
        for text in ["linear", "Linear", "https://mcp.linear.app/mcp", "mcp.linear.app"] {
            assert!(slugs(text).contains(&"linear"), "{text}: {:?}", slugs(text));
        }
        assert!(slugs("no-such-product-anywhere").is_empty());
    }

    #[test]
    fn a_slip_of_the_pen_is_seen() {
        let slugs = |text| -> Vec<&str> {
            similar_known_servers(text).into_iter().filter_map(|server| server["slug"].as_str()).collect()
        };
        for (slip, meant) in
            [("linaer", "linear"), ("gitub", "github"), ("Notoin", "notion"), ("figm", "figma")]
        {
            assert_eq!(slugs(slip).first(), Some(&meant), "{slip}");
        }
        for far in ["", "x", "qq", "no-such-product-anywhere"] {
            assert!(slugs(far).is_empty(), "{far}");
        }
    }
}
