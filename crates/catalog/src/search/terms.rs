//! From text to terms: identifiers are split (`createIssue`, `create_issue`, `XMLParser`) before case is
//! folded, words are reduced to their stem (Snowball English), runs of Han, Kana and Hangul become pairs
//! of characters, and words without meaning of their own are left out.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use rust_stemmers::{Algorithm, Stemmer};

/// Longer words are garbage or encoded data; they are cut so that they cost no more than a word.
const MAX_WORD: usize = 40;
/// Longer runs of letters and digits are not split, in bytes.
const LONGEST_IDENTIFIER: usize = 128;

/// Function words: never indexed, never searched for.
const STOP_WORDS: &str = "a an the and or but if then else of at by for with about into to from in on off is am are was were \
be been being have has had having do does did doing i me my mine myself we our ours us you your yours he him his she her \
hers it its they them their theirs this that these those there here what which who whom whose when where why how all any \
both each few more most other some such no nor not only own same so than too very can could will would shall should may \
might must just also as up out over s t m d re ve ll don isn aren wasn didn doesn couldn wouldn etc eg ie via per \
im ive id youre lets let s";

pub(crate) static STOP: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| STOP_WORDS.split_whitespace().collect());

/// One term of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    pub text: String,
    /// Two-part names people also write as one word: `GitHub` is `git`, `hub` and `github`.
    pub joined: bool,
}

fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' | '\u{e00}'..='\u{e7f}')
}

/// Latin letters without their accents, since people leave them out.
const fn plain_letter(character: char) -> char {
    match character {
        'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'è'..='ë' | 'ē' | 'ę' | 'ě' => 'e',
        'ì'..='ï' | 'ī' => 'i',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => 'o',
        'ù'..='ü' | 'ū' | 'ů' | 'ű' => 'u',
        'ý' | 'ÿ' => 'y',
        'ś' | 'š' | 'ş' => 's',
        'ź' | 'ż' | 'ž' => 'z',
        'ł' => 'l',
        'ř' => 'r',
        'ğ' => 'g',
        other => other,
    }
}

/// Stems a splitter remembers. Tools of one server share most of their words.
const MOST_REMEMBERED: usize = 4096;

/// Splits text into terms. One per piece of work; cheap to make.
pub(crate) struct Splitter {
    stemmer: Stemmer,
    stems: RefCell<HashMap<String, String>>,
}

impl Splitter {
    pub fn new() -> Self {
        Self { stemmer: Stemmer::create(Algorithm::English), stems: RefCell::default() }
    }

    /// Calls `emit` with each term of `text`, in order.
    pub fn split(&self, text: &str, emit: &mut dyn FnMut(Term)) {
        let mut run = String::new();
        let mut wide = String::new();
        for character in text.chars() {
            if is_wide(character) {
                self.run(&mut run, emit);
                wide.push(character);
            } else if character.is_alphanumeric() {
                pairs(&mut wide, emit);
                run.push(character);
            } else if !matches!(character, '\u{300}'..='\u{36f}' | '\'' | '’') || run.is_empty() {
                // Combining accents and apostrophes stay inside their word and are dropped.
                self.run(&mut run, emit);
                pairs(&mut wide, emit);
            }
        }
        self.run(&mut run, emit);
        pairs(&mut wide, emit);
    }

    pub fn terms(&self, text: &str) -> Vec<Term> {
        let mut out = Vec::new();
        self.split(text, &mut |term| out.push(term));
        out
    }

    fn run(&self, run: &mut String, emit: &mut dyn FnMut(Term)) {
        if run.is_empty() {
            return;
        }
        // Encoded data is full of capitals; its pieces are no words.
        let parts = if run.len() > LONGEST_IDENTIFIER { vec![run.as_str()] } else { words_of(run) };
        for part in &parts {
            self.word(part, false, emit);
        }
        if let [first, second] = parts.as_slice()
            && first.chars().count() + second.chars().count() <= 14
        {
            self.word(run, true, emit);
        }
        run.clear();
    }

    fn word(&self, word: &str, joined: bool, emit: &mut dyn FnMut(Term)) {
        let lower: String =
            word.chars().flat_map(char::to_lowercase).map(plain_letter).take(MAX_WORD).collect();
        if STOP.contains(lower.as_str()) {
            return;
        }
        emit(Term { text: self.stem(&lower), joined });
    }

    pub fn stem(&self, lower: &str) -> String {
        if lower.len() <= 2 || !lower.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return lower.to_owned();
        }
        let mut stems = self.stems.borrow_mut();
        if let Some(stem) = stems.get(lower) {
            return stem.clone();
        }
        let stem = self.stemmer.stem(lower).into_owned();
        if stems.len() < MOST_REMEMBERED {
            stems.insert(lower.to_owned(), stem.clone());
        }
        stem
    }
}

/// `createIssue` → `create`, `Issue`; `XMLParser` → `XML`, `Parser`; `mp4` and `oauth2` stay whole.
fn words_of(run: &str) -> Vec<&str> {
    let characters: Vec<(usize, char)> = run.char_indices().collect();
    let mut starts = vec![0];
    for position in 1..characters.len() {
        let (at, here) = characters[position];
        let before = characters[position - 1].1;
        let next_is_lower = characters.get(position + 1).is_some_and(|(_, next)| next.is_lowercase());
        let new_word = here.is_uppercase() && (!before.is_uppercase() || next_is_lower);
        // `APIs`, `URLs`: a plural `s` does not start a word at the letter before it.
        let plural = here.is_uppercase()
            && before.is_uppercase()
            && characters.get(position + 1).is_some_and(|(_, next)| *next == 's')
            && characters.get(position + 2).is_none();
        if new_word && !plural {
            starts.push(at);
        }
    }
    starts.push(run.len());
    starts.windows(2).map(|pair| &run[pair[0]..pair[1]]).collect()
}

fn pairs(wide: &mut String, emit: &mut dyn FnMut(Term)) {
    let characters: Vec<char> = wide.chars().collect();
    let plain = |text: String| Term { text, joined: false };
    match characters.as_slice() {
        [] => {}
        [one] => emit(plain(one.to_string())),
        several => several.windows(2).for_each(|pair| emit(plain(pair.iter().collect()))),
    }
    wide.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        Splitter::new().terms(text).into_iter().map(|term| term.text).collect()
    }

    #[test]
    fn identifiers_split_before_case_folds() {
        assert_eq!(
            texts("createIssue create_issue XMLParser"),
            ["creat", "issu", "createissu", "creat", "issu", "xml", "parser", "xmlparser"]
        );
        assert_eq!(texts("GitHub's APIs"), ["git", "hub", "github", "api"]);
    }

    #[test]
    fn scripts_without_spaces_become_pairs() {
        assert_eq!(texts("使用必应搜索 the web"), ["使用", "用必", "必应", "应搜", "搜索", "web"]);
        assert_eq!(texts("Café naïve"), ["cafe", "naiv"]);
    }
}
