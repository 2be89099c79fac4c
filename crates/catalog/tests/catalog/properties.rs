//! Properties over random tools, questions and histories.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use switchboard_catalog::{
    ConnectionSet, Definition, DefinitionLimits, EntryRef, Index, SearchQuery, canonical_form, direct_names,
    displayed, first_sentence, flags_in_text,
};

use crate::{id, names, put, tool};

const WORDS: [&str; 12] = [
    "issue",
    "create",
    "list",
    "weather",
    "repository",
    "delete",
    "page",
    "file",
    "search",
    "user",
    "chart",
    "mail",
];

fn phrase(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 1..most).prop_map(|words| words.join(" "))
}

fn tools() -> impl Strategy<Value = Vec<Definition>> {
    prop::collection::vec((phrase(4), phrase(10)), 0..8).prop_map(|tools| {
        let made = tools.iter().map(|(name, description)| tool(&name.replace(' ', "_"), description));
        made.collect()
    })
}

/// What happens to one of four connections: it gets these tools, or goes.
fn history() -> impl Strategy<Value = Vec<(u128, Option<Vec<Definition>>)>> {
    prop::collection::vec((0u128..4, prop::option::weighted(0.8, tools())), 1..12)
}

fn slug(connection: u128) -> String {
    format!("server-{connection}")
}

fn replay(history: &[(u128, Option<Vec<Definition>>)]) -> (Index, BTreeMap<u128, Vec<Definition>>) {
    let index = Index::new();
    let mut state = BTreeMap::new();
    for (connection, tools) in history {
        match tools {
            Some(tools) => {
                put(&index, *connection, &slug(*connection), tools);
                state.insert(*connection, tools.clone());
            }
            None => {
                index.remove(id(*connection));
                state.remove(connection);
            }
        }
    }
    (index, state)
}

fn allowed(bits: u8) -> ConnectionSet {
    (0u128..4).filter(|connection| bits >> connection & 1 == 1).map(id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_a_fresh_index(history in history(), text in phrase(5), bits in 0u8..16) {
        let (lived, state) = replay(&history);
        let fresh = Index::new();
        for (connection, tools) in state.iter().rev() {
            put(&fresh, *connection, &slug(*connection), tools);
        }
        let set = allowed(bits);
        let query = SearchQuery { text: &text, connection: None, allowed: &set, limit: 20, offset: 0 };
        let (left, right) = (lived.search(&query, None), fresh.search(&query, None));
        prop_assert_eq!(names(&left.hits), names(&right.hits));
        prop_assert_eq!((left.total, left.fits_well), (right.total, right.fits_well));
    }

    #[test]
    fn only_what_is_allowed_and_passes_and_all_of_it(history in history(), text in phrase(5), bits in 0u8..16, most in 1usize..12) {
        let (index, _) = replay(&history);
        let set = allowed(bits);
        let filter = |entry: EntryRef<'_>| !entry.name().len().is_multiple_of(most);
        let ask = |limit, offset, filter: Option<&dyn Fn(EntryRef<'_>) -> bool>| {
            index.search(&SearchQuery { text: &text, connection: None, allowed: &set, limit, offset }, filter)
        };
        let page = ask(1000, 0, Some(&filter));
        prop_assert!(page.hits.iter().all(|hit| set.contains(hit.entry().connection()) && filter(hit.entry())));
        // Brute force: `total` is what paging one by one finds.
        let mut one_by_one = Vec::new();
        for offset in 0..=page.total {
            one_by_one.extend(names(&ask(1, offset, Some(&filter)).hits));
        }
        prop_assert_eq!(&one_by_one, &names(&page.hits));
        prop_assert_eq!(page.total, one_by_one.len());
        // A listing is exact without any notion of fitting.
        let listed = index.search(&SearchQuery { text: "", connection: None, allowed: &set, limit: 1000, offset: 0 }, Some(&filter));
        let brute: usize = set.iter().map(|connection| index.list(connection).iter().filter(|hit| filter(hit.entry())).count()).sum();
        prop_assert_eq!((listed.total, listed.hits.len()), (brute, brute));
    }

    #[test]
    fn searching_for_anything_never_panics(history in history(), text in "\\PC{0,200}", limit in 0usize..30, offset in 0usize..30) {
        let (index, _) = replay(&history);
        let set = allowed(15);
        let outcome = index.search(&SearchQuery { text: &text, connection: None, allowed: &set, limit, offset }, None);
        prop_assert!(outcome.hits.len() <= limit && outcome.hits.len() <= outcome.total);
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,300}", raw in any::<Vec<u8>>()) {
        let raw = String::from_utf8_lossy(&raw);
        for text in [text.as_str(), &raw] {
            let _ = (canonical_form(text), flags_in_text(text), first_sentence(text));
            let _ = Definition::parse(text, None, &DefinitionLimits::default());
            prop_assert!(displayed(text, 40).chars().count() <= 40);
            prop_assert!(!displayed(text, 40).chars().any(char::is_control));
        }
    }

    #[test]
    fn any_json_has_one_canonical_form(value in json(), text in "\\PC{0,60}") {
        let form = canonical_form(&value.to_string()).unwrap();
        prop_assert_eq!(&canonical_form(&form).unwrap(), &form);
        prop_assert_eq!(&canonical_form(&serde_json::to_string_pretty(&value).unwrap()).unwrap(), &form);
        let changed = serde_json::json!([value, text]);
        prop_assert_ne!(canonical_form(&changed.to_string()).unwrap(), form);
    }

    #[test]
    fn direct_names_are_legal_unique_and_complete(
        all in prop::collection::hash_set(("[a-z0-9]{1,3}(-[a-z0-9]{1,60})?", "\\PC{1,80}|[a-c_.]{1,4}"), 0..30)
    ) {
        let names = direct_names(all.iter().map(|(slug, tool)| (slug.as_str(), tool.as_str())));
        prop_assert_eq!(names.len(), all.len());
        let back: HashSet<_> = names.values().copied().collect();
        prop_assert_eq!(back.len(), all.len());
        for name in names.keys() {
            prop_assert!((1..=64).contains(&name.len()));
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'));
        }
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1.0e6..1.0e6).prop_map(|number: f64| json!(number)),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
