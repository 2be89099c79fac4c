//! What differs between two texts of one definition, place by place, for whoever approves the newer one.

use serde_json::Value;

use crate::revealed_json;

/// More than this says nothing new to a reader; both texts are there as a whole.
const MOST: usize = 200;

/// One place (a JSON Pointer, RFC 6901), with what stands there; `None` where nothing does. Everything that can't be seen
/// is written out, so that two texts that look alike are seen to differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub pointer: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// The differences, at most 200. The order of members and white space are none.
pub fn differences(before: &str, after: &str) -> Vec<Difference> {
    let mut found = Vec::new();
    if let (Ok(before), Ok(after)) = (serde_json::from_str(before), serde_json::from_str(after)) {
        compare("", Some(&before), Some(&after), &mut found);
    }
    found
}

fn compare(here: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    if found.len() >= MOST || before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                let place = format!("{here}/{}", name.replace('~', "~0").replace('/', "~1"));
                compare(&place, old.get(name), new.get(name), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for position in 0..old.len().max(new.len()) {
                compare(&format!("{here}/{position}"), old.get(position), new.get(position), found);
            }
        }
        _ => found.push(Difference {
            pointer: crate::revealed(here),
            before: before.map(shown),
            after: after.map(shown),
        }),
    }
}

fn shown(value: &Value) -> String {
    revealed_json(&value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_with_what_stood_there() {
        let before = r#"{"name":"a","x":{"b":1,"c/d":[1,2]},"gone":true}"#;
        let after = r#"{"x":{"c/d":[1,3,4],"b":1},"name":"a","new":{"k":"v"}}"#;
        let found: Vec<_> = differences(before, after)
            .into_iter()
            .map(|it| (it.pointer, it.before.unwrap_or_default(), it.after.unwrap_or_default()))
            .collect();
        let expected = [
            ("/x/c~1d/1", "2", "3"),
            ("/x/c~1d/2", "", "4"),
            ("/gone", "true", ""),
            ("/new", "", "{\n  \"k\": \"v\"\n}"),
        ];
        let expected: Vec<_> = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn texts_that_look_alike_are_seen_to_differ() {
        let found = differences(r#"{"d":"Sends mail."}"#, "{\"d\":\"Sends\u{200b} mail.\u{e0062}\"}");
        assert_eq!(found[0].after.as_deref(), Some("\"Sends⟨U+200B⟩ mail.⟨U+E0062⟩\""));
        assert!(differences(r#"{"a":1,"b":2}"#, r#"{ "b": 2, "a": 1 }"#).is_empty());
    }
}
