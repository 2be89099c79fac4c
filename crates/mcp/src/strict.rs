//! One strict pass over a body before anything is read from it.
//!
//! JSON parsers disagree on duplicate members, and a filter that reads the first while the server reads the last
//! is a hole (RFC 8259 section 4; THREATS M4). So duplicates are refused at every depth, with a bound on the depth,
//! numbers that do not fit, lone surrogates and anything after the value.

use std::{cell::Cell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrictError {
    #[error("not JSON: {0}")]
    Syntax(String),
    #[error("the member `{0}` stands twice in one object")]
    Duplicate(String),
    #[error("nested deeper than {0} levels (limit `mcp.max_json_depth`)")]
    TooDeep(usize),
}

#[derive(Default)]
struct Found {
    error: Cell<Option<StrictError>>,
}

struct Check<'f> {
    depth: usize,
    limit: usize,
    found: &'f Found,
}

impl Check<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Check<'_>, E> {
        if self.depth >= self.limit {
            self.found.error.set(Some(StrictError::TooDeep(self.limit)));
            return Err(E::custom("too deep"));
        }
        Ok(Check { depth: self.depth + 1, limit: self.limit, found: self.found })
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Linear search up to here, a set beyond: most objects are small, and a body of 200,000 keys must not cost its square.
const SMALL: usize = 16;

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut few: Vec<String> = Vec::new();
        let mut many: HashSet<String> = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            let fresh = if many.is_empty() { !few.contains(&key) } else { !many.contains(&key) };
            if !fresh {
                self.found.error.set(Some(StrictError::Duplicate(key.chars().take(64).collect())));
                return Err(A::Error::custom("duplicate"));
            }
            if few.len() == SMALL && many.is_empty() {
                many.extend(few.drain(..));
            }
            if many.is_empty() {
                few.push(key);
            } else {
                many.insert(key);
            }
            members.next_value_seed(self.deeper()?)?;
        }
        Ok(())
    }
}

/// Checks that `body` is exactly one JSON value without duplicate members, nested at most `max_depth` deep.
pub fn check(body: &[u8], max_depth: usize) -> Result<(), StrictError> {
    let found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let outcome = Check { depth: 0, limit: max_depth, found: &found }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => Err(found.error.take().unwrap_or_else(|| StrictError::Syntax(error.to_string()))),
    }
}

/// Whether a JSON text nests deeper than `limit`. Reads no values; strings, which are most of a large answer, are
/// skipped by vector search.
pub fn is_deeper_than(body: &[u8], limit: usize) -> bool {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = after_string(body, at),
            _ => {}
        }
    }
    false
}

/// Where the string that starts at `at` (behind its quote) has ended.
fn after_string(body: &[u8], mut at: usize) -> usize {
    while let Some(offset) = memchr::memchr2(b'"', b'\\', &body[at.min(body.len())..]) {
        at += offset + 1;
        if body[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_refused_at_every_depth() {
        assert!(check(br#"{"a":1,"b":{"a":2}}"#, 64).is_ok());
        assert_eq!(check(br#"{"a":1,"a":2}"#, 64), Err(StrictError::Duplicate("a".into())));
        assert_eq!(check(br#"{"x":[{"a":1,"\u0061":2}]}"#, 64), Err(StrictError::Duplicate("a".into())));
        let many: String = (0..200_000).map(|n| format!("\"k{n}\":0,")).collect();
        assert!(check(format!("{{{many}\"z\":1}}").as_bytes(), 64).is_ok());
        assert!(check(format!("{{{many}\"k7\":1}}").as_bytes(), 64).is_err());
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert!(!is_deeper_than(br#"{"a":"[[[[[\\","b":["\"]]","[[["]}"#, 2));
        assert!(is_deeper_than(br#"{"a":"\\","b":[[0]]}"#, 2));
        assert!(!is_deeper_than(br#"["unfinished \"#, 2));
        assert!(is_deeper_than("[".repeat(129).as_bytes(), 128));
    }

    #[test]
    fn depth_numbers_and_trailing_text() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(nested(64).as_bytes(), 64).is_ok());
        assert_eq!(check(nested(65).as_bytes(), 64), Err(StrictError::TooDeep(64)));
        assert!(check(nested(100_000).as_bytes(), 64).is_err());
        for bad in ["", "1e400", "{} {}", "{\"a\":\"\\ud800\"}", "\"\u{1}\"", "nul"] {
            assert!(check(bad.as_bytes(), 64).is_err(), "{bad}");
        }
        assert!(check(b"\"\xff\"", 64).is_err());
    }
}
