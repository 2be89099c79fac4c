//! Upstream text made safe to show: no control characters, no invisible ones, bounded, one line.

/// Longest summary, in characters.
pub const SUMMARY_CHARS: usize = 100;

/// Characters that have no shape of their own and can hide or reorder text: format and bidirectional
/// controls, zero-width characters, tags, variation selectors, blank fillers (Unicode categories Cf and
/// Default_Ignorable_Code_Point).
pub const fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// `text` in one line of at most `limit` characters: white space folded, what can't be seen dropped.
pub fn displayed(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    let mut space = false;
    for character in text.chars() {
        if character.is_whitespace() || matches!(character, '\u{2028}' | '\u{2029}') {
            space = !out.is_empty();
            continue;
        }
        if character.is_control() || is_invisible(character) {
            continue;
        }
        let needed = 1 + usize::from(space);
        if length + needed > limit {
            // Room for the mark that says something was cut.
            while length >= limit.max(1) {
                out.pop();
                length -= 1;
            }
            out.truncate(out.trim_end().len());
            out.push('…');
            return out;
        }
        if std::mem::take(&mut space) {
            out.push(' ');
        }
        out.push(character);
        length += needed;
    }
    out
}

/// The first sentence of a description, at most [`SUMMARY_CHARS`] characters.
pub fn first_sentence(description: &str) -> String {
    // Markdown headings and list marks say nothing in one line.
    let lines = description.lines().map(|line| line.trim_start_matches(['#', '*', '>', ' ', '\t']).trim());
    let mut paragraph = String::new();
    for line in lines {
        if line.is_empty() && !paragraph.is_empty() {
            break;
        }
        if !paragraph.is_empty() {
            paragraph.push(' ');
        }
        paragraph.push_str(line);
        if paragraph.len() > 4 * SUMMARY_CHARS * 4 {
            break;
        }
    }
    let end = sentence_end(&paragraph);
    displayed(&paragraph[..end], SUMMARY_CHARS)
}

/// Where the first sentence, or the first paragraph without one, ends in a whole description.
pub(crate) fn first_end(description: &str) -> usize {
    let start = description.len() - description.trim_start().len();
    let paragraph = description[start..].find("\n\n").map_or(description.len(), |end| start + end);
    start + sentence_end(&description[start..paragraph])
}

/// Where the first sentence ends: after `.`, `!`, `?` and white space, or after an ideographic stop. Not
/// after an abbreviation (`e.g.`), an initial or a number.
fn sentence_end(text: &str) -> usize {
    let mut previous_word = 0;
    for (at, character) in text.char_indices() {
        let after = at + character.len_utf8();
        match character {
            '。' | '！' | '？' => return after,
            '.' | '!' | '?' if text[after..].chars().next().is_none_or(char::is_whitespace) => {
                let word = &text[previous_word..at];
                let abbreviation = word.contains('.')
                    || word.chars().count() < 2
                    || ["vs", "etc", "approx", "incl", "no"].contains(&word.to_lowercase().as_str());
                if !abbreviation {
                    return after;
                }
            }
            _ if character.is_whitespace() => previous_word = after,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_sentences() {
        let cases = [
            ("Sends an email. Then waits.", "Sends an email."),
            ("# Search\n\nFinds pages, e.g. wiki pages. More.", "Search"),
            ("Use version 1.2 of the API! Now", "Use version 1.2 of the API!"),
            ("使用必应搜索。返回列表", "使用必应搜索。"),
            ("No full stop\nacross lines", "No full stop across lines"),
            ("", ""),
        ];
        for (description, expected) in cases {
            assert_eq!(first_sentence(description), expected);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_dropped() {
        assert_eq!(displayed("a\u{1b}[2Jb\u{202e}c\u{e0041}\u{200b}d\r\n e", 80), "a[2Jbcd e");
        assert_eq!(displayed(&"é".repeat(50), 10), format!("{}…", "é".repeat(9)));
        assert_eq!(displayed("abc", 0), "…");
    }
}
