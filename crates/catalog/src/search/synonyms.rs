//! Words that mean the same to somebody who looks for a tool.
//!
//! General vocabulary of software and of everyday requests; a line is a group, each member of which
//! stands for the others. Expansion counts far less than the word itself.

use std::{collections::HashMap, sync::LazyLock};

use super::terms::Splitter;

const GROUPS: &str = include_str!("synonyms.txt");

static TABLE: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
    let splitter = Splitter::new();
    let stems =
        |text: &str| -> Vec<String> { text.split_whitespace().map(|word| splitter.stem(word)).collect() };
    let mut table: HashMap<String, Vec<String>> = HashMap::new();
    for line in GROUPS.lines().filter(|line| !line.starts_with('#')) {
        let (words, others) = match line.split_once('>') {
            Some((word, others)) => (stems(word), stems(others)),
            None => (stems(line), stems(line)),
        };
        for word in words {
            let known = table.entry(word.clone()).or_default();
            for other in others.iter().filter(|other| **other != word) {
                if !known.contains(other) {
                    known.push(other.clone());
                }
            }
        }
    }
    table
});

const CONVERSATIONAL: &str = include_str!("conversational.txt");

static PLAIN: LazyLock<std::collections::HashSet<String>> = LazyLock::new(|| {
    let splitter = Splitter::new();
    CONVERSATIONAL
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|word| splitter.stem(word))
        .collect()
});

/// Other stems for `stem`.
pub(super) fn of(stem: &str) -> &'static [String] {
    TABLE.get(stem).map_or(&[], Vec::as_slice)
}

/// Words of politeness and of asking, which say little about what is asked for.
pub(super) fn is_conversational(stem: &str) -> bool {
    PLAIN.contains(stem)
}
