//! URIs on toolkits. Where several connections stand side by side, a URI says whose it is, so that a client can read what a list,
//! a result or a tool's page names: `linear+file:///notes`. Hosts of MCP Apps look for the scheme `ui:`, so there the
//! connection comes after it: `ui://linear+page`.

use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use switchboard_mcp::RawObject;

const UI: &str = "ui://";

/// A scheme begins with a letter and has no `~` (RFC 3986 section 3.1): a slug that could not stand there gets a prefix
/// that no slug has.
pub(crate) fn uri_on_toolkit(slug: &str, uri: &str) -> String {
    let slug = match slug.strip_prefix('~') {
        Some(own) => format!("own.{own}"),
        None if slug.starts_with(|first: char| first.is_ascii_digit()) => format!("all.{slug}"),
        None => slug.to_owned(),
    };
    match uri.strip_prefix(UI) {
        Some(page) => format!("{UI}{slug}+{page}"),
        None => format!("{slug}+{uri}"),
    }
}

/// The slug, with `~` where it is a personal one, and the upstream's URI.
pub(super) fn named_by_uri(uri: &str) -> Option<(String, String)> {
    let (is_page, rest) = match uri.strip_prefix(UI) {
        Some(rest) => (true, rest),
        None => (false, uri),
    };
    let (slug, rest) = rest.split_once('+')?;
    let slug = match slug.split_once('.') {
        Some(("own", slug)) => format!("~{slug}"),
        Some(("all", slug)) => slug.to_owned(),
        Some(_) => return None,
        None => slug.to_owned(),
    };
    Some((slug, if is_page { format!("{UI}{rest}") } else { rest.to_owned() }))
}

/// A result with the URIs of resources that it links to or embeds as this toolkit names them; `None` when it has none.
pub(crate) fn of_result(slug: &str, result: &Bytes) -> Option<Bytes> {
    memchr::memmem::find(result, b"\"uri\"")?;
    object(slug, std::str::from_utf8(result).ok()?).map(Bytes::from)
}

/// The page of a tool (MCP Apps) in its definition, in both of its spellings.
pub(super) fn of_tool(slug: &str, meta: &RawValue) -> Option<Box<RawValue>> {
    let mut meta: Value = serde_json::from_str(meta.get()).ok()?;
    let mut named = false;
    for pointer in ["/ui/resourceUri", "/ui~1resourceUri"] {
        if let Some(place) = meta.pointer_mut(pointer)
            && let Some(uri) = place.as_str()
        {
            *place = Value::from(uri_on_toolkit(slug, uri));
            named = true;
        }
    }
    named.then(|| serde_json::value::to_raw_value(&meta).ok()).flatten()
}

/// Of a result: its `content`, its `messages`, the `result` of a task.
fn object(slug: &str, text: &str) -> Option<Vec<u8>> {
    let mut members: RawObject<'_> = serde_json::from_str(text).ok()?;
    let content = members.get("content").and_then(|raw| items(slug, raw));
    let messages = members.get("messages").and_then(|raw| {
        each(raw, |message| {
            let mut message = RawObject::parse(message).ok()?;
            let content =
                message.get("content").and_then(|raw| item(slug, raw).or_else(|| items(slug, raw)))?;
            message.set("content", &content);
            written(&message)
        })
    });
    let result = members.get("result").and_then(|raw| raw_of(object(slug, raw.get())?));
    let changed = [("content", &content), ("messages", &messages), ("result", &result)];
    if changed.iter().all(|(_, value)| value.is_none()) {
        return None;
    }
    for (name, value) in changed {
        if let Some(value) = value {
            members.set(name, value);
        }
    }
    let mut out = Vec::with_capacity(text.len() + 256);
    members.write(&mut out);
    Some(out)
}

fn items(slug: &str, list: &RawValue) -> Option<Box<RawValue>> {
    each(list, |raw| item(slug, raw))
}

/// A linked or an embedded resource.
fn item(slug: &str, raw: &RawValue) -> Option<Box<RawValue>> {
    let mut item = RawObject::parse(raw).ok()?;
    match item.read::<String>("type").as_deref() {
        Some("resource_link") => {
            let uri = quoted(slug, &item)?;
            item.set("uri", &uri);
            written(&item)
        }
        Some("resource") => {
            let mut resource = RawObject::parse(item.get("resource")?).ok()?;
            let uri = quoted(slug, &resource)?;
            resource.set("uri", &uri);
            let resource = written(&resource)?;
            item.set("resource", &resource);
            written(&item)
        }
        _ => None,
    }
}

fn quoted(slug: &str, object: &RawObject<'_>) -> Option<Box<RawValue>> {
    let uri: String = object.read("uri")?;
    serde_json::value::to_raw_value(&uri_on_toolkit(slug, &uri)).ok()
}

/// The list with what `change` makes of its elements; `None` when it changes none.
fn each(list: &RawValue, change: impl Fn(&RawValue) -> Option<Box<RawValue>>) -> Option<Box<RawValue>> {
    let elements: Vec<&RawValue> = serde_json::from_str(list.get()).ok()?;
    let changed: Vec<Option<Box<RawValue>>> = elements.iter().map(|raw| change(raw)).collect();
    if changed.iter().all(Option::is_none) {
        return None;
    }
    let all: Vec<&RawValue> =
        elements.iter().zip(&changed).map(|(before, after)| after.as_deref().unwrap_or(before)).collect();
    serde_json::value::to_raw_value(&all).ok()
}

fn written(object: &RawObject<'_>) -> Option<Box<RawValue>> {
    let mut out = Vec::new();
    object.write(&mut out);
    raw_of(out)
}

fn raw_of(text: Vec<u8>) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn uris_of_toolkits_map_back() {
        for slug in ["linear", "~notes", "2go", "~2go", "ui"] {
            for uri in [
                "file:///a+b",
                "test://template/{id}/data",
                "x",
                "own.linear+file:///a",
                "ui://page/a+b",
                "ui://",
            ] {
                let shown = uri_on_toolkit(slug, uri);
                assert_eq!(named_by_uri(&shown), Some((slug.to_owned(), uri.to_owned())), "{shown}");
                assert_eq!(shown.starts_with(UI), uri.starts_with(UI), "{shown}");
            }
        }
        assert_eq!(named_by_uri("file:///a"), None);
    }

    #[test]
    fn what_a_result_links_to_can_be_read() {
        let result = json!({
            "content": [
                { "type": "text", "text": "\"uri\": left alone" },
                { "type": "resource_link", "uri": "file:///a", "name": "a" },
                { "type": "resource", "resource": { "uri": "ui://page", "text": "<p>" } },
            ],
            "structuredContent": { "uri": "file:///mine" },
        });
        let renamed = of_result("linear", &Bytes::from(result.to_string())).unwrap();
        let renamed: Value = serde_json::from_slice(&renamed).unwrap();
        assert_eq!(renamed["content"][0], result["content"][0]);
        assert_eq!(renamed["content"][1]["uri"], "linear+file:///a");
        assert_eq!(renamed["content"][2]["resource"]["uri"], "ui://linear+page");
        assert_eq!(renamed["structuredContent"], result["structuredContent"], "a server's own data");
        assert_eq!(of_result("linear", &Bytes::from_static(b"{\"content\":[]}")), None);

        let prompt = json!({ "messages": [{ "role": "user", "content": { "type": "resource", "resource": { "uri": "x:1" } } }] });
        let renamed: Value =
            serde_json::from_slice(&of_result("linear", &Bytes::from(prompt.to_string())).unwrap()).unwrap();
        assert_eq!(renamed["messages"][0]["content"]["resource"]["uri"], "linear+x:1");
        let task = json!({ "taskId": "t", "result": result });
        let renamed: Value =
            serde_json::from_slice(&of_result("linear", &Bytes::from(task.to_string())).unwrap()).unwrap();
        assert_eq!(renamed["result"]["content"][1]["uri"], "linear+file:///a");

        let meta =
            RawValue::from_string(json!({ "ui": { "resourceUri": "ui://page" }, "other": 1 }).to_string())
                .unwrap();
        assert_eq!(
            of_tool("linear", &meta).unwrap().get(),
            r#"{"ui":{"resourceUri":"ui://linear+page"},"other":1}"#
        );
        assert!(of_tool("linear", &RawValue::from_string("{\"other\":1}".into()).unwrap()).is_none());
    }
}
