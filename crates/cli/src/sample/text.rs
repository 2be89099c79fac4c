//! Counting what a text is made of.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Answer;

pub(super) fn answer(arguments: &Value) -> Answer {
    let text = arguments["text"].as_str().unwrap_or_default();
    let words = || text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
    let distinct: BTreeSet<String> = words().map(str::to_lowercase).collect();
    Answer::Structured(json!({
        "characters": text.chars().count(),
        "words": words().count(),
        "lines": text.lines().count(),
        "distinct_words": distinct.len(),
    }))
}
