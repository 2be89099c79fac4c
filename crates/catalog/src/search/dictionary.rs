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
    /// Sum of their lengths.
    postings: u32,
    /// Where it stands in its shelf.
    place: u32,
}

/// What two words must share to be spelt alike: the first letter and about the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shelf {
    initial: char,
    length: u8,
}

impl Shelf {
    fn of(text: &str) -> Self {
        Self { initial: text.chars().next().unwrap_or(' '), length: text.len().min(255) as u8 }
    }
}

/// A bit for each letter of a word. Words one mistake apart differ in at most two.
pub(super) fn letters(text: &str) -> u32 {
    text.bytes().fold(0, |mask, byte| mask | 1 << (byte & 31))
}

/// Terms without any posting are forgotten, so that churn doesn't grow the dictionary.
#[derive(Default)]
pub(super) struct Dictionary {
    ids: HashMap<Arc<str>, TermId>,
    terms: Vec<Term>,
    free: Vec<TermId>,
    /// Terms of each slot, to find them again when it is emptied.
    by_slot: HashMap<u32, Vec<TermId>>,
    /// Letters and term of what may be meant by a misspelt word.
    shelves: HashMap<Shelf, Vec<(u32, TermId)>>,
}

impl Dictionary {
    pub fn id(&self, text: &str) -> Option<TermId> {
        self.ids.get(text).copied()
    }

    pub fn ranges(&self, id: TermId) -> &[Range] {
        &self.terms[id as usize].ranges
    }

    /// Documents that have the term, in all segments: for a moment also in one that is entered or cleared away.
    pub fn postings(&self, id: TermId) -> usize {
        self.terms[id as usize].postings as usize
    }

    pub fn text(&self, id: TermId) -> &str {
        &self.terms[id as usize].text
    }

    /// Letters and terms with the first letter of `text` that have `length` bytes.
    pub fn shelf(&self, text: &str, length: usize) -> &[(u32, TermId)] {
        let shelf = Shelf { length: length.min(255) as u8, ..Shelf::of(text) };
        self.shelves.get(&shelf).map_or(&[], Vec::as_slice)
    }

    pub fn add(&mut self, text: &str, range: Range) {
        let id = self.id(text).unwrap_or_else(|| self.intern(text));
        let term = &mut self.terms[id as usize];
        let position = term.ranges.partition_point(|other| other.slot < range.slot);
        term.ranges.insert(position, range);
        term.postings += range.length;
        self.by_slot.entry(range.slot).or_default().push(id);
    }

    fn intern(&mut self, text: &str) -> TermId {
        let text: Arc<str> = text.into();
        let shelf = self.shelves.entry(Shelf::of(&text)).or_default();
        let term = Term { text: text.clone(), ranges: Vec::new(), postings: 0, place: shelf.len() as u32 };
        let id = self.free.pop().unwrap_or(self.terms.len() as TermId);
        shelf.push((letters(&text), id));
        if id as usize == self.terms.len() {
            self.terms.push(term);
        } else {
            self.terms[id as usize] = term;
        }
        self.ids.insert(text, id);
        id
    }

    /// Forgets at most `most` terms of a slot; says whether some are left.
    pub fn remove_some(&mut self, slot: u32, most: usize) -> bool {
        let Some(mut ids) = self.by_slot.remove(&slot) else { return false };
        for id in ids.split_off(ids.len().saturating_sub(most)) {
            let term = &mut self.terms[id as usize];
            if let Ok(position) = term.ranges.binary_search_by_key(&slot, |range| range.slot) {
                term.postings -= term.ranges.remove(position).length;
            }
            if term.ranges.is_empty() {
                self.forget(id);
            }
        }
        if ids.is_empty() {
            return false;
        }
        self.by_slot.insert(slot, ids);
        true
    }

    fn forget(&mut self, id: TermId) {
        let term = &mut self.terms[id as usize];
        let (text, place) = (std::mem::replace(&mut term.text, "".into()), term.place as usize);
        term.ranges = Vec::new();
        self.ids.remove(&text);
        self.free.push(id);
        let shelf = Shelf::of(&text);
        if let Some(terms) = self.shelves.get_mut(&shelf) {
            terms.swap_remove(place);
            match terms.get(place) {
                Some(&(_, moved)) => self.terms[moved as usize].place = place as u32,
                None if terms.is_empty() => drop(self.shelves.remove(&shelf)),
                None => {}
            }
        }
    }
}
