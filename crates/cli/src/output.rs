//! What is written to the terminal: data to stdout, complaints to stderr, and nothing that a server said can
//! move the cursor or recolour the screen.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use serde_json::Value;

use crate::{client::cell, failure::Failure};

/// Writes data. A reader that went away (`| head`) ends the output, not the program with a panic.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
}

/// This program as the next command calls it: by its name where that was enough, else by its whole path, because the
/// command may be pasted in another directory.
pub(crate) fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let path = std::path::Path::new(&called);
    if path.components().count() < 2 {
        return "switchboard".into();
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string();
    if whole.contains(char::is_whitespace) { format!("'{whole}'") } else { whole }
}

pub(crate) fn print_json(value: &Value) {
    print(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes an error, if there is anything to say.
pub(crate) fn complain(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut stderr = io::stderr().lock();
    let _ = if wants_colour(&stderr) {
        writeln!(stderr, "\x1b[1;31merror:\x1b[0m {text}")
    } else {
        writeln!(stderr, "error: {text}")
    };
}

/// Writes a remark that is no data.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// <https://no-color.org>
fn wants_colour(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether stdout is a terminal that may be coloured.
pub(crate) fn stdout_has_colour() -> bool {
    let stdout = io::stdout();
    stdout.is_terminal() && wants_colour(&stdout)
}

/// Text of a third party, made safe for a terminal on one line: control characters, escape sequences and
/// invisible direction marks (Unicode TR36) become visible or go.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => shown.push(' '),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {}
            '\u{e0000}'..='\u{e007f}' => {}
            control if control.is_control() => {
                let _ = write!(shown, "\\x{:02x}", u32::from(control));
            }
            other => shown.push(other),
        }
    }
    shown
}

/// The same over several lines, for results of tools.
pub(crate) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// Columns of text under headings, each as wide as it needs.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// The rows of a list: all of them as JSON, or these members as a table, or a remark when there are none.
pub(crate) fn list(rows: &[Value], columns: &[(&str, &str)], json: bool, empty: &str) {
    if json {
        print_json(&serde_json::json!({ "items": rows }));
    } else if rows.is_empty() {
        remark(empty);
    } else {
        let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
        let row = |row: &Value| columns.iter().map(|(_, member)| cell(row, member)).collect();
        print(&table(&headings, &rows.iter().map(row).collect::<Vec<_>>()));
    }
}

/// One line a fact; what is absent is left out.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let shown = facts.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(label, value)| format!("{label:<14}{}\n", plain(value))).collect()
}

/// Asks before what can't be undone. Where nobody can answer, `--yes` has to say it.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    use std::io::BufRead as _;
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} Say so with --yes.")));
    }
    remark(&format!("{question} [y/N]"));
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "yes") { Ok(()) } else { Err(Failure::failed("Nothing was removed.")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_name_cannot_drive_the_terminal() {
        assert_eq!(plain("a\x1b[31mred\x1b[0m\x07"), "a\\x1b[31mred\\x1b[0m\\x07");
        assert_eq!(plain("two\nlines\u{202e}"), "two lines");
        assert_eq!(plain("\u{9b}31m"), "\\x9b31m", "the one-character form too");
        assert_eq!(plain_lines("a\r\nb\x1b]0;title\x07"), "a\nb\\x1b]0;title\\x07");
        assert!(plain("Grüße, 世界 🎉").contains("世界 🎉"));
    }

    #[test]
    fn tables_line_up() {
        let rows = [vec!["a".into(), "connected".into()], vec!["longer".into(), "error".into()]];
        assert_eq!(table(&["SLUG", "STATE"], &rows), "SLUG    STATE\na       connected\nlonger  error\n");
    }
}
