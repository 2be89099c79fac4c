use std::collections::HashSet;

use proptest::prelude::*;
use regex::Regex;
use switchboard_domain::{SeededRandom, SystemRandom};

use super::*;

fn hex(hash: TokenHash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The byte at an index.
type Bytes = fn(usize) -> u8;

#[derive(Debug)]
struct Fixed(Bytes);

impl Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte = (self.0)(index));
    }
}

/// Made by an independent implementation of the format.
#[test]
fn known_answers() {
    let cases: [(TokenKind, Bytes, &str, &str); 3] = [
        (
            TokenKind::Personal,
            |index| index as u8,
            "swb_pat_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0sos79",
            "c3c6ffc6a0cda4b81fec331fed4d3bd6573d11e4308cd0cf0076b4546a166e52",
        ),
        (
            TokenKind::Service,
            |_| 255,
            "swb_svc_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp143tQe8",
            "f04b6f59d0cf2c73fdaed003e4794aba0e2e0df48fdcd0cead678ff7676f7e10",
        ),
        (
            TokenKind::Personal,
            |_| 0,
            "swb_pat_00000000000000000000000000000000000000000000XDhR5",
            "1b8ed958adc22980a8c8108f17f1a53726751cf8a275b97474191e751d972c85",
        ),
    ];
    for (kind, bytes, text, hash) in cases {
        let token = issue(kind, &Fixed(bytes));
        assert_eq!((token.secret.expose(), hex(token.hash).as_str()), (text, hash));
        assert_eq!((token.prefix.as_str(), token.last_four.as_str()), (kind.prefix(), &text[53..]));
        assert_eq!(parse(text), Ok(ParsedToken { kind, hash: token.hash }));
    }
    let opaque = issue_opaque("", &Fixed(|index| index as u8));
    assert_eq!(opaque.secret.expose(), "003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1Yo7hP");
}

#[test]
fn every_kind_reads_back_and_a_scanner_finds_it() {
    let scanner = Regex::new(SECRET_SCANNER_REGEX).unwrap();
    for kind in TokenKind::ALL {
        let token = issue(kind, &SystemRandom);
        let text = token.secret.expose();
        assert_eq!(parse(text), Ok(ParsedToken { kind, hash: token.hash }));
        for line in [format!("token={text}"), format!("\"{text}\","), format!("https://x.test/?t={text}&y")] {
            assert_eq!(scanner.find(&line).map(|found| found.as_str()), Some(text), "{line}");
        }
        assert!(!scanner.is_match(&text[..text.len() - 1]) && !scanner.is_match(&format!("{text}0")));
    }
    assert!(!scanner.is_match(&format!("ghp_{}", "a".repeat(49))));
}

#[test]
fn kinds_have_prefixes_of_their_own() {
    let prefixes: HashSet<_> = TokenKind::ALL.iter().map(|kind| kind.prefix()).collect();
    assert_eq!(prefixes.len(), TokenKind::ALL.len());
    assert!(prefixes.iter().all(|prefix| prefix.starts_with("swb_") && prefix.len() == 8));
}

#[test]
fn another_kind_or_spelling_is_refused() {
    let token = issue(TokenKind::Personal, &SystemRandom);
    let text = token.secret.expose();
    assert_eq!(parse_opaque("swb_set_", text), Err(TokenFormatError::Prefix));
    assert_eq!(parse(&text.replace("swb_pat_", "swb_svc_")), Err(TokenFormatError::Checksum));
    for (bad, error) in [
        ("", TokenFormatError::Prefix),
        ("Bearer", TokenFormatError::Prefix),
        ("swb_pat_", TokenFormatError::Shape),
        ("swb_pat_ööööööööööööööööööööööööö", TokenFormatError::Shape),
        (&format!(" {text}"), TokenFormatError::Prefix),
        (&format!("{text} "), TokenFormatError::Shape),
        (&text.to_uppercase(), TokenFormatError::Prefix),
        (&text[..56], TokenFormatError::Shape),
        (&format!("{}+", &text[..56]), TokenFormatError::Shape),
    ] {
        assert_eq!(parse(bad), Err(error), "{bad}");
    }
}

/// Nothing that is made up passes: a million random bodies behind the right prefix.
#[test]
fn a_million_random_strings_do_not_pass() {
    let random = SeededRandom::new(42);
    let mut bytes = [0u8; 49];
    let mut text = String::with_capacity(57);
    let passed = (0..1_000_000).filter(|_| {
        (&random as &dyn Random).fill(&mut bytes);
        text.clear();
        text.push_str("swb_pat_");
        text.extend(bytes.iter().map(|&byte| char::from(ALPHABET[usize::from(byte) % 62])));
        parse(&text).is_ok()
    });
    assert_eq!(passed.count(), 0);
}

#[test]
fn nothing_prints_a_token() {
    let token = issue(TokenKind::Personal, &Fixed(|_| 0));
    let shown = format!("{token:?} {:?}", parse(token.secret.expose()));
    assert!(!shown.contains("0000") && !shown.contains("1b8e") && !shown.contains("27, 142"), "{shown}");
}

proptest! {
    #[test]
    fn one_changed_character_never_passes(seed: u64, at in 0usize..57, with in "[0-9A-Za-z]") {
        let token = issue(TokenKind::Personal, &SeededRandom::new(seed));
        let mut text = token.secret.expose().to_owned();
        prop_assume!(text[at..=at] != with);
        text.replace_range(at..=at, &with);
        prop_assert!(parse(&text).is_err());
    }

    #[test]
    fn two_swapped_characters_never_pass(seed: u64, at in 8usize..56) {
        let token = issue(TokenKind::Personal, &SeededRandom::new(seed));
        let mut bytes = token.secret.expose().as_bytes().to_vec();
        prop_assume!(bytes[at] != bytes[at + 1]);
        bytes.swap(at, at + 1);
        prop_assert!(parse(std::str::from_utf8(&bytes).unwrap()).is_err());
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC*") {
        prop_assert!(parse(&text).is_err());
        let prefixed = format!("swb_pat_{text}");
        prop_assert!(parse(&prefixed).is_err());
    }
}
