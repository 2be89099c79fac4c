//! The canonical form of a definition, and its fingerprint.
//!
//! The form follows the JSON Canonicalization Scheme (RFC 8785): members sorted by UTF-16 code
//! units, no insignificant white space, minimal escapes, arrays in their order. It differs where the
//! scheme would hide a change: numbers keep every digit (the scheme rounds to a double, so two
//! different large integers could share a fingerprint), and an object that names a member twice has no
//! canonical form at all, because readers disagree about which one counts.
//!
//! Strings are compared code point by code point. Unicode normalisation would make `а` (Cyrillic) and
//! its look-alikes differ but hide a change between composed and decomposed text.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use switchboard_domain::Fingerprint;

/// Deepest nesting that is read. `serde_json` stops at the same depth.
const MAX_DEPTH: usize = 127;

/// Why a text has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    #[error("it is not JSON (at byte {0})")]
    NotJson(usize),
    #[error("it is nested deeper than {MAX_DEPTH} levels (limit `catalog.json_depth`)")]
    TooDeep,
    #[error("it has the member `{0}` twice, so that readers may disagree about what it says")]
    DuplicateMember(String),
}

/// SHA-256 over the canonical form of the whole wire object and the server's instructions, which
/// reach the model beside every tool of that server.
pub fn fingerprint(raw: &str, server_instructions: Option<&str>) -> Result<Fingerprint, NotCanonical> {
    let canonical = canonical_form(raw)?;
    let mut hash = Sha256::new();
    hash.update(b"switchboard definition 1\0");
    // Lengths keep the end of one part from being read as the start of the next.
    hash.update((canonical.len() as u64).to_be_bytes());
    hash.update(canonical.as_bytes());
    match server_instructions {
        None => hash.update([0]),
        Some(text) => {
            hash.update([1]);
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
    }
    Ok(Fingerprint(hash.finalize().into()))
}

/// The same for a resource, without what changes whenever its content does: `size` and `annotations.lastModified`.
pub fn fingerprint_of_resource(
    raw: &str,
    server_instructions: Option<&str>,
) -> Result<Fingerprint, NotCanonical> {
    // Names that stand twice are refused before anything is left out.
    let canonical = canonical_form(raw)?;
    let Ok(mut members) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(&canonical) else {
        return fingerprint(raw, server_instructions);
    };
    members.remove("size");
    let annotations = members.get("annotations").map(|raw| raw.get());
    let annotations =
        annotations.and_then(|raw| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(raw).ok());
    if let Some(mut annotations) = annotations {
        annotations.remove("lastModified");
        members.remove("annotations");
        if let Some(Ok(kept)) =
            (!annotations.is_empty()).then(|| serde_json::value::to_raw_value(&annotations))
        {
            members.insert("annotations".into(), kept);
        }
    }
    let kept = serde_json::to_string(&members).unwrap_or(canonical);
    fingerprint(&kept, server_instructions)
}

/// The canonical form of one JSON text.
pub fn canonical_form(raw: &str) -> Result<String, NotCanonical> {
    let mut reader = Reader { text: raw, at: 0 };
    let mut out = String::with_capacity(raw.len());
    reader.value(&mut out, 0)?;
    reader.white_space();
    if reader.at == raw.len() { Ok(out) } else { Err(NotCanonical::NotJson(reader.at)) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail<T>(&self) -> Result<T, NotCanonical> {
        Err(NotCanonical::NotJson(self.at))
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Consumes `byte` after white space, or says no.
    fn take(&mut self, byte: u8) -> bool {
        self.white_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), NotCanonical> {
        if depth > MAX_DEPTH {
            return Err(NotCanonical::TooDeep);
        }
        self.white_space();
        match self.peek() {
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.array(out, depth),
            Some(b'"') => {
                let text = self.string()?;
                write_string(&text, out);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => self.literal(out),
        }
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        let mut members: Vec<(String, String)> = Vec::new();
        if !self.take(b'}') {
            loop {
                self.white_space();
                let name = self.string()?;
                if !self.take(b':') {
                    return self.fail();
                }
                let mut value = String::new();
                self.value(&mut value, depth + 1)?;
                members.push((name, value));
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return self.fail();
                }
            }
        }
        members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(NotCanonical::DuplicateMember(pair[0].0.chars().take(80).collect()));
        }
        out.push('{');
        for (position, (name, value)) in members.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            write_string(name, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        out.push('[');
        if !self.take(b']') {
            loop {
                self.value(out, depth + 1)?;
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return self.fail();
                }
                out.push(',');
            }
        }
        out.push(']');
        Ok(())
    }

    fn string(&mut self) -> Result<String, NotCanonical> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return self.fail();
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return self.fail(),
            }
        }
        self.at += 1;
        let text = self.text.get(start..self.at).ok_or(NotCanonical::NotJson(start))?;
        serde_json::from_str(text).map_err(|_| NotCanonical::NotJson(start))
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn number(&mut self, out: &mut String) -> Result<(), NotCanonical> {
        let start = self.at;
        let text = self.run(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        if serde_json::from_str::<f64>(text).is_err() {
            return Err(NotCanonical::NotJson(start));
        }
        write_number(text, out);
        Ok(())
    }

    fn literal(&mut self, out: &mut String) -> Result<(), NotCanonical> {
        let start = self.at;
        let text = self.run(|byte| byte.is_ascii_lowercase());
        if !matches!(text, "true" | "false" | "null") {
            return Err(NotCanonical::NotJson(start));
        }
        out.push_str(text);
        Ok(())
    }
}

fn write_string(text: &str, out: &mut String) {
    // Serialising a string into memory has no way to fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// Writes the exact decimal value: `1`, `1.0`, `10e-1` are one number, `9007199254740993` and
/// `9007199254740992` are two.
fn write_number(text: &str, out: &mut String) {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(exponent) = exponent.parse::<i32>() else {
        // An exponent that no machine number has: nothing to normalise, keep what was written.
        out.push_str(text);
        return;
    };
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        out.push('0');
        return;
    }
    let trimmed = significant.trim_end_matches('0');
    let exponent = i64::from(exponent) - fraction.len() as i64 + (significant.len() - trimmed.len()) as i64;
    if negative {
        out.push('-');
    }
    out.push_str(trimmed);
    match exponent {
        0 => {}
        1..=20 => out.extend(std::iter::repeat_n('0', exponent as usize)),
        _ => {
            out.push('e');
            out.push_str(&exponent.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_white_space_and_spelling_of_numbers_do_not_matter() {
        let left = r#"{"b":[1,2.50,-0,1e2],"a":"\u0041\/","é":null}"#;
        let right = " { \"é\" : null ,\n\"a\":\"A/\", \"b\" : [ 1.0, 25e-1, 0.0, 100 ] } ";
        assert_eq!(canonical_form(left).unwrap(), canonical_form(right).unwrap());
        assert_eq!(canonical_form(left).unwrap(), r#"{"a":"A/","b":[1,25e-1,0,100],"é":null}"#);
    }

    #[test]
    fn what_a_double_cannot_tell_apart_is_told_apart() {
        let different = [
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.10000000000000001"),
            ("\"a\\u0301\"", "\"\\u00e1\""),
            ("[1,2]", "[2,1]"),
            ("\"1\"", "1"),
            ("12e21", "12e22"),
        ];
        for (left, right) in different {
            assert_ne!(canonical_form(left).unwrap(), canonical_form(right).unwrap());
        }
    }

    #[test]
    fn members_sort_by_utf16_as_the_scheme_says() {
        // U+1F600 is a surrogate pair (D83D…) and sorts before U+FB33, unlike in UTF-8.
        let form = canonical_form("{\"\u{fb33}\":1,\"\u{1f600}\":2}").unwrap();
        assert_eq!(form, "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn two_readings_are_refused() {
        let twice = canonical_form(r#"{"a":{"name":1,"n\u0061me":2}}"#);
        assert_eq!(twice, Err(NotCanonical::DuplicateMember("name".into())));
    }

    #[test]
    fn what_is_not_json_is_refused_without_a_panic() {
        for bad in
            ["", "{", "{\"a\"}", "[1,]", "01", "+1", "nul", "\"\\ud800\"", "\"\\", "\"a", "1 2", "1e999", "-"]
        {
            assert!(canonical_form(bad).is_err(), "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(canonical_form(&deep), Err(NotCanonical::TooDeep));
    }

    #[test]
    fn instructions_are_part_of_the_fingerprint() {
        let of = |instructions| fingerprint("{}", instructions).unwrap();
        assert_ne!(of(None), of(Some("")));
        assert_ne!(of(Some("a")), of(Some("b")));
        assert_eq!(of(Some("a")), of(Some("a")));
    }
}
