//! Why a tool is among the matches, as a person can see it: which word of the question stands where in what is known of
//! the tool. The ranking itself weighs much more ([`super::Ranking`]); this names what it started from.

use std::collections::HashMap;

use super::{synonyms, terms::Splitter};

/// Words of a question that are explained.
const MOST: usize = 8;
/// Letters by which a word that was only begun may be continued, as in the ranking.
const MAX_COMPLETION: usize = 6;

/// A word of a question, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchReason {
    pub word: String,
    /// As the caller of [`match_reasons`] named it.
    pub place: &'static str,
    /// What stands there, where that is another word: a synonym or another form.
    pub instead: Option<String>,
}

/// Explains `query` by the texts of a tool, each with its name; the first text that has a word, or else means the same,
/// is its place. A word that stands nowhere is left out.
pub fn match_reasons(query: &str, places: &[(&'static str, &str)]) -> Vec<MatchReason> {
    let splitter = Splitter::new();
    let places: Vec<(&'static str, HashMap<String, String>)> =
        places.iter().map(|(place, text)| (*place, spelled(&splitter, text))).collect();
    let mut reasons: Vec<MatchReason> = Vec::new();
    for word in query.split_whitespace().take(MOST * 4) {
        let shown = word.trim_matches(|c: char| !c.is_alphanumeric());
        for term in splitter.terms(shown).into_iter().filter(|term| !term.joined) {
            let reason = direct(&term.text, &places)
                .or_else(|| related(&term.text, &places))
                .map(|(place, found)| reason(shown, place, found));
            let reason = reason.filter(|reason| !reasons.contains(reason));
            reasons.extend(reason);
        }
    }
    reasons.truncate(MOST);
    reasons
}

fn reason(word: &str, place: &'static str, found: &str) -> MatchReason {
    let same = found.to_lowercase().contains(&word.to_lowercase());
    MatchReason { word: word.to_owned(), place, instead: (!same).then(|| found.to_owned()) }
}

/// Each term of a text, and the word of the text that it comes from.
fn spelled(splitter: &Splitter, text: &str) -> HashMap<String, String> {
    let mut known = HashMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        for term in splitter.terms(word) {
            known.entry(term.text).or_insert_with(|| word.to_owned());
        }
    }
    known
}

type Places = [(&'static str, HashMap<String, String>)];

fn direct<'p>(term: &str, places: &'p Places) -> Option<(&'static str, &'p str)> {
    places.iter().find_map(|(place, known)| Some((*place, known.get(term)?.as_str())))
}

fn related<'p>(term: &str, places: &'p Places) -> Option<(&'static str, &'p str)> {
    let synonym = || synonyms::of(term).iter().find_map(|other| direct(other, places));
    let continued = || {
        places.iter().find_map(|(place, known)| {
            let begun = known.iter().filter(|(other, _)| {
                term.len() > 2 && other.len() <= term.len() + MAX_COMPLETION && other.starts_with(term)
            });
            begun.min().map(|(_, found)| (*place, found.as_str()))
        })
    };
    synonym().or_else(continued)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: &[(&str, &str)] =
        &[("its name", "createIssue"), ("what it says", "Files a new ticket in a repository.")];

    fn told(query: &str) -> Vec<(String, &'static str, Option<String>)> {
        let reasons = match_reasons(query, PLACES).into_iter();
        reasons.map(|reason| (reason.word, reason.place, reason.instead)).collect()
    }

    #[test]
    fn a_word_is_named_with_the_place_where_it_stands() {
        assert_eq!(told("issues?"), [("issues".into(), "its name", Some("createIssue".into()))]);
        assert_eq!(told("repository"), [("repository".into(), "what it says", None)]);
        assert_eq!(told("repo"), [("repo".into(), "what it says", None)], "begun");
        assert!(told("the weather").is_empty());
    }
}
