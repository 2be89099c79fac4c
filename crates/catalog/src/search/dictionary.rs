//! Which terms there are and in which segments they occur.

use std::{collections::HashMap, sync::Arc};

/// Where the postings of one term lie in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub slot: u32,
    pub start: u32,
    pub length: u32,
}

pub(super) type TermId = u32;

struct Term {
    text: Arc<str>,
    /// In order of slot.
    ranges: Vec<Range>,
}

/// Terms without any posting are forgotten, so that churn doesn't grow the dictionary.
#[derive(Default)]
pub(super) struct Dictionary {
    ids: HashMap<Arc<str>, TermId>,
    terms: Vec<Term>,
    free: Vec<TermId>,
    /// Terms of each slot, to find them again when it is emptied.
    by_slot: HashMap<u32, Vec<TermId>>,
    /// Terms by first character: the neighbourhood of a misspelt word.
    by_initial: HashMap<char, Vec<TermId>>,
}

fn initial(text: &str) -> char {
    text.chars().next().unwrap_or(' ')
}

impl Dictionary {
    pub fn id(&self, text: &str) -> Option<TermId> {
        self.ids.get(text).copied()
    }

    pub fn ranges(&self, id: TermId) -> &[Range] {
        &self.terms[id as usize].ranges
    }

    pub fn text(&self, id: TermId) -> &str {
        &self.terms[id as usize].text
    }

    /// Terms that start with the same character as `text`.
    pub fn neighbourhood(&self, text: &str) -> &[TermId] {
        self.by_initial.get(&initial(text)).map_or(&[], Vec::as_slice)
    }

    pub fn add(&mut self, text: &str, range: Range) {
        let id = self.id(text).unwrap_or_else(|| self.intern(text));
        let ranges = &mut self.terms[id as usize].ranges;
        let position = ranges.partition_point(|other| other.slot < range.slot);
        ranges.insert(position, range);
        self.by_slot.entry(range.slot).or_default().push(id);
    }

    fn intern(&mut self, text: &str) -> TermId {
        let text: Arc<str> = text.into();
        let term = Term { text: text.clone(), ranges: Vec::new() };
        let id = match self.free.pop() {
            Some(id) => {
                self.terms[id as usize] = term;
                id
            }
            None => {
                self.terms.push(term);
                (self.terms.len() - 1) as TermId
            }
        };
        self.by_initial.entry(initial(&text)).or_default().push(id);
        self.ids.insert(text, id);
        id
    }

    /// Forgets everything about a slot.
    pub fn remove(&mut self, slot: u32) {
        let mut emptied = Vec::new();
        for id in self.by_slot.remove(&slot).unwrap_or_default() {
            let term = &mut self.terms[id as usize];
            if let Ok(position) = term.ranges.binary_search_by_key(&slot, |range| range.slot) {
                term.ranges.remove(position);
            }
            if term.ranges.is_empty() {
                self.ids.remove(&term.text);
                emptied.push(id);
            }
        }
        emptied.sort_unstable();
        let mut initials: Vec<char> = emptied.iter().map(|&id| initial(self.text(id))).collect();
        initials.sort_unstable();
        initials.dedup();
        for letter in initials {
            if let Some(ids) = self.by_initial.get_mut(&letter) {
                ids.retain(|id| emptied.binary_search(id).is_err());
                if ids.is_empty() {
                    self.by_initial.remove(&letter);
                }
            }
        }
        self.free.extend(emptied);
    }
}
