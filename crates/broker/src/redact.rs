//! An upstream that sends our credential back must not give it to the agent (THREATS U5).
//!
//! Answers are JSON, so the credential may come in any of JSON's spellings (`\/`, `\u002B`, a document inside a text
//! with its backslashes doubled) or a URL's (`%2B`, `%2b`). An answer is therefore also read as what it means: each
//! escape as the character it stands for. Each byte is looked at a bounded number of times, whatever it is made of.

use bytes::Bytes;
use memchr::memmem;
use switchboard_domain::SecretValue;

const MARK: &[u8] = switchboard_catalog::REDACTED.as_bytes();

/// Replaces every secret in a body, however it is spelled. Copies only when there is one.
pub(crate) fn redact(body: Bytes, secrets: &[SecretValue]) -> Bytes {
    let mut body = body;
    for secret in secrets.iter().map(|secret| secret.expose().as_bytes()).filter(|it| !it.is_empty()) {
        for spelling in spellings(secret) {
            let found: Vec<Span> =
                memmem::find_iter(&body, &spelling).map(|at| (at, at + spelling.len())).collect();
            body = replace(body, &found);
        }
        if may_hide(&body, secret) {
            let found = find_decoded(&body, secret);
            body = replace(body, &found);
        }
    }
    body
}

/// The same for a text of ours that quotes an upstream.
pub(crate) fn redact_text(text: &str, secrets: &[SecretValue]) -> String {
    String::from_utf8_lossy(&redact(Bytes::copy_from_slice(text.as_bytes()), secrets)).into_owned()
}

type Span = (usize, usize);

/// As it is, and as a form spells it (where a space is a plus).
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let form: Vec<u8> = url::form_urlencoded::byte_serialize(secret).collect::<String>().into_bytes();
    let mut spellings = vec![secret.to_vec()];
    if form != secret {
        spellings.push(form);
    }
    spellings
}

/// Whether there are escapes in the body in which this secret could hide. Line breaks and quotes alone, which most
/// answers have, hide only a secret with such characters.
fn may_hide(body: &[u8], secret: &[u8]) -> bool {
    let backslashes = || memchr::memchr(b'\\', body).is_some();
    let special = secret.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    memchr::memchr(b'%', body).is_some()
        || (special && backslashes())
        || memmem::find(body, b"\\u").is_some()
        || memmem::find(body, b"\\/").is_some()
}

/// Where the body means the secret: Knuth, Morris and Pratt over what the escapes stand for.
fn find_decoded(body: &[u8], secret: &[u8]) -> Vec<Span> {
    let wanted: Vec<u8> = Decoded::new(secret).map(|unit| unit.byte).collect();
    let Some(borders) = borders(&wanted) else { return Vec::new() };
    // Where each of the last bytes that may be part of a match began in the body.
    let mut starts = vec![0; wanted.len()];
    let (mut found, mut matched) = (Vec::new(), 0);
    for (at, unit) in Decoded::new(body).enumerate() {
        starts[at % wanted.len()] = unit.start;
        while matched > 0 && wanted[matched] != unit.byte {
            matched = borders[matched - 1];
        }
        if wanted[matched] == unit.byte {
            matched += 1;
        }
        if matched == wanted.len() {
            found.push((starts[(at + 1) % wanted.len()], unit.end));
            matched = 0;
        }
    }
    found
}

/// For each beginning of `wanted` the length of its longest proper end that is a beginning too.
fn borders(wanted: &[u8]) -> Option<Vec<usize>> {
    let mut borders = vec![0; wanted.len()];
    let mut length = 0;
    for at in 1..wanted.len() {
        while length > 0 && wanted[at] != wanted[length] {
            length = borders[length - 1];
        }
        if wanted[at] == wanted[length] {
            length += 1;
        }
        borders[at] = length;
    }
    (!wanted.is_empty()).then_some(borders)
}

/// A byte that the body means, and the bytes that spell it.
#[derive(Clone, Copy)]
struct Unit {
    byte: u8,
    start: usize,
    end: usize,
}

/// The body without JSON's escapes and then without a URL's. A run of backslashes is one escape: a JSON document inside
/// a text doubles them, and a secret with backslashes is read the same way.
#[derive(Clone)]
struct Decoded<'b> {
    escapes: Escapes<'b>,
}

impl<'b> Decoded<'b> {
    fn new(body: &'b [u8]) -> Self {
        Self { escapes: Escapes { body, at: 0, pending: [0; 4], left: 0, span: (0, 0) } }
    }
}

impl Iterator for Decoded<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        let unit = self.escapes.next()?;
        if unit.byte != b'%' {
            return Some(unit);
        }
        let mut ahead = self.escapes.clone();
        let digits = (ahead.next(), ahead.next());
        if let (Some(high), Some(low)) = digits
            && let (Some(left), Some(right)) = (hex(high.byte), hex(low.byte))
        {
            self.escapes = ahead;
            return Some(Unit { byte: left << 4 | right, start: unit.start, end: low.end });
        }
        Some(unit)
    }
}

/// The body without JSON's escapes.
#[derive(Clone)]
struct Escapes<'b> {
    body: &'b [u8],
    at: usize,
    /// Bytes of an escaped character that are still to come, in order from the back.
    pending: [u8; 4],
    left: usize,
    span: Span,
}

impl Iterator for Escapes<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        if self.left > 0 {
            self.left -= 1;
            return Some(Unit { byte: self.pending[self.left], start: self.span.0, end: self.span.1 });
        }
        let start = self.at;
        let byte = *self.body.get(start)?;
        self.at += 1;
        if byte != b'\\' {
            return Some(Unit { byte, start, end: self.at });
        }
        let run = self.body[self.at..].iter().take_while(|byte| **byte == b'\\').count();
        self.at += run;
        let Some(escape) = self.body.get(self.at).copied() else {
            return Some(Unit { byte, start, end: self.at });
        };
        self.at += 1;
        let plain = match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => match code_unit(&self.body[self.at..]) {
                Some(unit) => {
                    self.at += 4;
                    return Some(self.character(unit, start));
                }
                None => b'u',
            },
            other => other,
        };
        Some(Unit { byte: plain, start, end: self.at })
    }
}

impl Escapes<'_> {
    /// An escaped character as UTF-8. Half of a surrogate pair stands for nothing a secret has.
    fn character(&mut self, unit: u32, start: usize) -> Unit {
        let mut utf8 = [0; 4];
        let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
        let length = character.encode_utf8(&mut utf8).len();
        self.span = (start, self.at);
        self.left = length - 1;
        for (place, byte) in utf8[1..length].iter().rev().enumerate() {
            self.pending[place] = *byte;
        }
        Unit { byte: utf8[0], start, end: self.at }
    }
}

fn code_unit(digits: &[u8]) -> Option<u32> {
    let digits = digits.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | u32::from(hex(*digit)?)))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn replace(body: Bytes, found: &[Span]) -> Bytes {
    if found.is_empty() {
        return body;
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = 0;
    for (start, end) in found {
        out.extend_from_slice(&body[rest..*start]);
        out.extend_from_slice(MARK);
        rest = *end;
    }
    out.extend_from_slice(&body[rest..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr/et+~key";

    fn clean(body: &str, secret: &str) -> String {
        let clean = redact(Bytes::copy_from_slice(body.as_bytes()), &[SecretValue::new(secret)]);
        String::from_utf8(clean.to_vec()).unwrap()
    }

    #[test]
    fn every_spelling_is_replaced_and_nothing_else_copied() {
        let secrets = [SecretValue::new("s3cr\"et/+key")];
        let body = Bytes::from(r#"{"a":"s3cr\"et/+key","b":"s3cr%22et%2F%2Bkey","c":1}"#);
        let clean = redact(body, &secrets);
        assert_eq!(clean, r#"{"a":"[redacted]","b":"[redacted]","c":1}"#);
        for untouched in ["nothing here", r#"{"a":"line\n\"two\"","b":"100%","c":"\u00e9\/"}"#] {
            let untouched = Bytes::from(untouched);
            assert_eq!(redact(untouched.clone(), &secrets).as_ptr(), untouched.as_ptr());
        }
    }

    #[test]
    fn escapes_hide_nothing() {
        for spelled in [
            SECRET,
            r"s3cr\/et+~key",
            r"s3cr/et\u002B~key",
            r"s3cr/et\u002b~key",
            r"\u0073\u0033\u0063\u0072\u002f\u0065\u0074\u002b\u007e\u006b\u0065\u0079",
            "s3cr%2Fet%2B~key",
            "s3cr%2fet%2b%7ekey",
            "s3cr%2fet%2b%7Ekey",
            r"s3cr\\/et\\u002B~key",
            r"s3cr\\\/et\\\u002B~key",
            r"s3cr\u00252fet\u00252B~key",
            r"s3cr%2\u0066et+~key",
        ] {
            let body = format!(r#"{{"a":"before {spelled} after","b":"{spelled}"}}"#);
            assert_eq!(
                clean(&body, SECRET),
                r#"{"a":"before [redacted] after","b":"[redacted]"}"#,
                "{spelled}"
            );
        }
        assert_eq!(
            clean(r#"{"a":"p\\q\"r","b":"p\\q\u0022r"}"#, "p\\q\"r"),
            r#"{"a":"[redacted]","b":"[redacted]"}"#
        );
        assert_eq!(clean(r#""key-\u00e9-key \/""#, "key-é-key"), r#""[redacted] \/""#);
        assert_eq!(
            clean(r#""aab\u0061ab\u0061ac""#, "aabaac"),
            r#""aab[redacted]""#,
            "overlapping beginnings"
        );
        assert_eq!(clean("s3cr%2Fet%2B%7Eke", SECRET), "s3cr%2Fet%2B%7Eke", "a part is none");
    }

    #[test]
    fn large_bodies_are_read_once() {
        // Were it quadratic, this would take hours.
        for piece in ["%", "\\", "%\\", "s3cr%2", "\\u00", "s3cr\\/et\\u002B~ke"] {
            let body = piece.repeat(1_000_000 / piece.len());
            assert_eq!(clean(&body, SECRET).len(), body.len());
        }
    }
}
