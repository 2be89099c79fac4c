//! Sentences that name something between backticks, as errors of the API and the command line do: on a page that is code.

use askama::filters::{Escaper as _, Safe};

use super::Visible;

/// The sentence with what stands between backticks as code; all of it escaped. A backtick without another one stays.
pub(crate) fn prose(text: impl AsRef<str>) -> Safe<String> {
    let mut page = String::new();
    let mut rest = text.as_ref();
    while let Some((before, name, after)) = next_name(rest) {
        escape(&mut page, before);
        page.push_str("<code>");
        escape(&mut page, name);
        page.push_str("</code>");
        rest = after;
    }
    escape(&mut page, rest);
    Safe(page)
}

/// What comes before the next name, the name, what comes after it.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (name, after) = rest.split_once('`')?;
    (!name.is_empty()).then_some((before, name, after))
}

fn escape(page: &mut String, text: &str) {
    // Into memory: there is nothing that could fail.
    let _ = Visible.write_escaped_str(page, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code_and_nothing_is_markup() {
        let page = |text: &str| prose(text).0;
        assert_eq!(page("Use `linear.*` or `*`."), "Use <code>linear.*</code> or <code>*</code>.");
        assert_eq!(page("`<b>` & <i>"), "<code>&#60;b&#62;</code> &#38; &#60;i&#62;");
        assert_eq!(page("a\u{202e}`b\u{202e}`"), "a⟨U+202E⟩<code>b⟨U+202E⟩</code>");
        for as_it_is in ["", "one ` alone", "``", "no name at all"] {
            assert_eq!(page(as_it_is), as_it_is);
        }
    }
}
