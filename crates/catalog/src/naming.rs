//! Names of tools on a direct surface: `<slug>__<tool>`, within what every client accepts
//! (`[a-zA-Z0-9_-]{1,64}`).
//!
//! A name is a function of the capability alone whenever it can be, so that adding a tool never renames
//! another: a capability whose plain name is exact (nothing replaced or cut) keeps it; everything else
//! carries a digest of the full name. Two capabilities claim one name only if their digests are equal or
//! if a tool is called like its sibling's digested name; then neither gets it and both carry a longer
//! digest. That stays inside one connection: a slug has no underscore.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

/// Longest name on a direct surface.
pub const DIRECT_NAME_CHARS: usize = 64;
const SHORTEST_DIGEST: usize = 8;

fn plain(slug: &str, tool: &str) -> String {
    format!("{slug}__{tool}")
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

/// `~` of a personal connection is replaced, so its names always carry a digest.
fn fits(name: &str) -> bool {
    name.len() <= DIRECT_NAME_CHARS && name.chars().all(is_allowed)
}

fn digested(slug: &str, tool: &str, length: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(slug.as_bytes());
    // A slug holds no NUL, so no other pair hashes the same text.
    hash.update([0]);
    hash.update(tool.as_bytes());
    let digest = hex::encode(hash.finalize());
    let room = DIRECT_NAME_CHARS - length - 1;
    let head: String = plain(slug, tool)
        .chars()
        .map(|character| if is_allowed(character) { character } else { '_' })
        .take(room)
        .collect();
    format!("{head}_{}", &digest[..length])
}

/// The direct name of every `(slug as written, tool)`, and back: each name maps to exactly one capability.
/// The result does not depend on the order of `capabilities`.
pub fn direct_names<'a>(
    capabilities: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, (&'a str, &'a str)> {
    let capabilities: BTreeSet<(&str, &str)> = capabilities.into_iter().collect();
    let mut claims: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for &(slug, tool) in &capabilities {
        let name = plain(slug, tool);
        let name = if fits(&name) { name } else { digested(slug, tool, SHORTEST_DIGEST) };
        claims.entry(name).or_default().push((slug, tool));
    }
    let mut names = BTreeMap::new();
    let mut contested = Vec::new();
    for (name, claimants) in claims {
        match claimants.as_slice() {
            [one] => {
                names.insert(name, *one);
            }
            several => contested.extend_from_slice(several),
        }
    }
    for (slug, tool) in contested {
        // Nobody keeps a contested name: whoever came later must not take it over.
        let free = (SHORTEST_DIGEST + 1..=DIRECT_NAME_CHARS - 4)
            .map(|length| digested(slug, tool, length))
            .find(|name| !names.contains_key(name));
        if let Some(name) = free {
            names.insert(name, (slug, tool));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_stay_and_map_back() {
        let names = direct_names([("linear", "create_issue"), ("git", "log")]);
        assert_eq!(names["linear__create_issue"], ("linear", "create_issue"));
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn collisions_and_odd_names_carry_a_digest() {
        let long = "x".repeat(200);
        // `a__b` + `c` and `a` + `b__c` would both be `a__b__c`, but a slug has no underscore; what does
        // collide is what is replaced.
        let all =
            [("a", "b.c"), ("a", "b_c"), ("a", "b c"), ("a", &long), ("~a", "b_c"), ("a", "Ä"), ("a", "Ö")];
        let names = direct_names(all);
        assert_eq!(names.len(), all.len());
        assert!(names.keys().all(|name| fits(name)), "{names:?}");
        assert_eq!(names["a__b_c"], ("a", "b_c"));
        let mut reversed = all;
        reversed.reverse();
        assert_eq!(direct_names(reversed), names);
    }

    #[test]
    fn a_tool_that_imitates_a_digested_name_takes_nothing_over() {
        let imitated = digested("a", "b.c", SHORTEST_DIGEST);
        let tool = imitated.strip_prefix("a__").unwrap();
        let names = direct_names([("a", "b.c"), ("a", tool)]);
        assert_eq!(names.len(), 2);
        assert!(!names.contains_key(&imitated));
        assert!(names.keys().all(|name| fits(name)));
    }
}
