//! Text of others shown in full to a person who decides about it: nothing hides, nothing is left out.

use crate::{canonical::NotCanonical, canonical_form, summary::is_invisible};

/// `text` with everything that can't be seen, or that reorders what is seen, written as `⟨U+202E⟩`. Line ends stay.
pub fn revealed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let hides = is_invisible(character)
            || (character.is_control() && character != '\n')
            || matches!(character, '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
        if hides {
            out.push_str(&format!("⟨U+{:04X}⟩", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

/// The canonical form of one JSON text, a member or an element on each line, revealed. Escapes that stand for ordinary
/// letters are gone, numbers keep their digits: what is shown is what was sent, and two texts that differ here differ.
pub fn revealed_json(raw: &str) -> Result<String, NotCanonical> {
    let canonical = canonical_form(raw)?;
    let mut out = String::with_capacity(canonical.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    let mut characters = canonical.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(character) = characters.next() {
        if in_string {
            out.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '{' | '[' => {
                out.push(character);
                if characters.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    out.extend(characters.next());
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_string = character == '"';
                out.push(character);
            }
        }
    }
    Ok(revealed(&out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_written_out() {
        assert_eq!(
            revealed("a\u{202e}b\u{200b}\nc\u{e0041}\u{1b}"),
            "a⟨U+202E⟩b⟨U+200B⟩\nc⟨U+E0041⟩⟨U+001B⟩"
        );
        assert_eq!(revealed("Grüße, 世界 🎉"), "Grüße, 世界 🎉");
    }

    #[test]
    fn json_is_shown_line_by_line() {
        let raw =
            r#"{"b":[1,{"c":"x\",{\\"}],"a":{},"n":[],"big":12345678901234567890123,"\u0061b":"\u202e"}"#;
        let expected = "{\n  \"a\": {},\n  \"ab\": \"⟨U+202E⟩\",\n  \"b\": [\n    1,\n    {\n      \"c\": \"x\\\",{\\\\\"\n    }\n  ],\n  \
                        \"big\": 12345678901234567890123,\n  \"n\": []\n}";
        assert_eq!(revealed_json(raw).unwrap(), expected);
        assert!(revealed_json(r#"{"a":1,"a":2}"#).is_err());
    }
}
