//! How text gets into a page: nothing in it is markup, and nothing in it hides. A name that turns the words round
//! (`U+202E`), or differs from another only in what can't be seen, is a name that deceives; here it is written out.
//! What scripts and emoji need to join their letters stays between letters that are not ASCII.
//! Source: Unicode TR36 (security considerations) and TR39, section 3.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};
use switchboard_catalog::is_invisible;

/// Escapes HTML, and writes characters that can't be seen as `⟨U+202E⟩`. Named in `askama.toml`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, mut page: W, text: &str) -> fmt::Result {
        let mut begin = 0;
        let mut before = '\0';
        for (at, character) in text.char_indices() {
            if hides(character, before) {
                Html.write_escaped_str(&mut page, &text[begin..at])?;
                write!(page, "⟨U+{:04X}⟩", u32::from(character))?;
                begin = at + character.len_utf8();
            }
            before = character;
        }
        Html.write_escaped_str(page, &text[begin..])
    }
}

fn hides(character: char, before: char) -> bool {
    match character {
        '\n' | '\r' | '\t' => false,
        '\u{2028}' | '\u{2029}' => true,
        '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => before.is_ascii(),
        _ if character.is_ascii() => character.is_ascii_control(),
        _ => character.is_control() || is_invisible(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut page = String::new();
        Visible.write_escaped_str(&mut page, text).unwrap();
        page
    }

    #[test]
    fn what_hides_is_written_out_and_what_joins_letters_stays() {
        assert_eq!(written("Drive\u{202e}gpj.exe <b>"), "Drive⟨U+202E⟩gpj.exe &#60;b&#62;");
        assert_eq!(written("pay\u{200d}roll\u{0}\u{feff}"), "pay⟨U+200D⟩roll⟨U+0000⟩⟨U+FEFF⟩");
        assert_eq!(written("\u{e0041}\u{2028}\u{9b}"), "⟨U+E0041⟩⟨U+2028⟩⟨U+009B⟩");
        for joined in ["👩\u{200d}💻", "می\u{200c}خواهم", "❤\u{fe0f}", "two\nlines\tand a tab", "déjà vu"]
        {
            assert_eq!(written(joined), joined);
        }
    }
}
