//! The immutable part of the index that belongs to one connection.
//!
//! Texts of all entries lie in one string and postings in one array: a hundred thousand small
//! allocations cost more than what is in them.

use std::{collections::HashMap, fmt};

use serde_json::Value;
use switchboard_domain::{ConnectionId, Fingerprint};

use super::{
    ranking::{FIELDS, Field, Ranking},
    terms::Splitter,
};
use crate::{Definition, Signature};

/// Most entries one connection can have in the index; the limit on tools per upstream is far below.
pub const MAX_ENTRIES: usize = 1 << DOCUMENT_BITS;
const DOCUMENT_BITS: u32 = 20;
const WEIGHT_BITS: u32 = 11;
const SMALLEST_WEIGHT: f32 = 0.01;
/// ln(largest weight / smallest weight); the largest is 40.
const WEIGHT_SPAN: f32 = 8.294;

/// One document of one term: 20 bits of document, one that says whether the term is in its name, and 11
/// bits of weight on a logarithmic scale (steps of 0.4 %).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Posting(u32);

impl Posting {
    fn new(document: usize, in_name: bool, weight: f32) -> Self {
        let step = ((weight / SMALLEST_WEIGHT).ln() / WEIGHT_SPAN * Self::WEIGHT_MASK as f32).round();
        let step = step.clamp(0.0, Self::WEIGHT_MASK as f32) as u32;
        Self((document as u32) << (WEIGHT_BITS + 1) | u32::from(in_name) << WEIGHT_BITS | step)
    }

    const WEIGHT_MASK: u32 = (1 << WEIGHT_BITS) - 1;

    pub const fn document(self) -> u32 {
        self.0 >> (WEIGHT_BITS + 1)
    }

    pub const fn in_name(self) -> bool {
        self.0 >> WEIGHT_BITS & 1 == 1
    }

    pub const fn step(self) -> usize {
        (self.0 & Self::WEIGHT_MASK) as usize
    }

    /// The weight of each step.
    pub fn weights() -> Box<[f32]> {
        let weight = |step| SMALLEST_WEIGHT * (step as f32 / Self::WEIGHT_MASK as f32 * WEIGHT_SPAN).exp();
        (0..=Self::WEIGHT_MASK).map(weight).collect()
    }
}

/// What the index keeps of one capability: what a match shows at detail `brief` and `signature`.
struct Entry {
    /// Ends of title, summary and signature in the segment's text; each starts where the one before it ends.
    start: u32,
    ends: [u32; 3],
    /// Terms in its name.
    name_terms: u8,
    read_only_hint: Option<bool>,
    destructive_hint: Option<bool>,
    fingerprint: Fingerprint,
}

/// What a connection is called.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLabel<'a> {
    pub id: ConnectionId,
    /// As written, with `~` when personal.
    pub slug: &'a str,
    /// What people call it.
    pub name: &'a str,
}

pub(super) struct Segment {
    pub connection: ConnectionId,
    pub slug: Box<str>,
    pub name: Box<str>,
    /// All names, one behind the other: filters read the names of thousands of matches, and nothing else of them.
    names: Box<str>,
    name_ends: Box<[u32]>,
    text: Box<str>,
    entries: Box<[Entry]>,
    pub postings: Box<[Posting]>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({}, {} entries)", self.slug, self.entries.len())
    }
}

/// A segment and, for each of its terms, how many postings it has; they lie in this order.
pub(super) struct Built {
    pub segment: Segment,
    pub terms: Vec<(Box<str>, u32)>,
}

impl Segment {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many terms the name of each entry has.
    pub fn name_terms(&self) -> impl Iterator<Item = u8> + '_ {
        self.entries.iter().map(|entry| entry.name_terms)
    }

    fn name_of(&self, entry: usize) -> &str {
        let start = entry.checked_sub(1).map_or(0, |before| self.name_ends[before]);
        &self.names[start as usize..self.name_ends[entry] as usize]
    }

    fn part(&self, entry: usize, part: usize) -> &str {
        let entry = &self.entries[entry];
        let start = if part == 0 { entry.start } else { entry.ends[part - 1] };
        &self.text[start as usize..entry.ends[part] as usize]
    }

    /// Entries lie in order of their names.
    pub fn find(&self, name: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.name_of(middle).cmp(name) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    pub fn build(label: ConnectionLabel<'_>, definitions: &[Definition], ranking: &Ranking) -> Built {
        let mut order: Vec<&Definition> = definitions.iter().take(MAX_ENTRIES).collect();
        order.sort_by(|left, right| left.name().cmp(right.name()));
        // An upstream that names a tool twice has one capability; the first one listed is it.
        order.dedup_by(|later, first| later.name() == first.name());
        let names: String = order.iter().map(|definition| definition.name()).collect();
        let name_ends = order.iter().scan(0, |end, definition| {
            *end += definition.name().len() as u32;
            Some(*end)
        });
        let mut text = String::new();
        let mut entries = Vec::with_capacity(order.len());
        let mut words = Words::new(label);
        let mut postings: HashMap<Box<str>, Vec<Posting>> = HashMap::new();
        for (document, definition) in order.iter().enumerate() {
            entries.push(Entry::new(definition, words.name_terms(definition), &mut text));
            for (term, counts) in words.of(definition) {
                let weight = counts.weight(ranking);
                let posting = Posting::new(document, counts.in_name(), weight);
                postings.entry(term).or_default().push(posting);
            }
        }
        let mut by_term: Vec<_> = postings.into_iter().collect();
        by_term.sort_by(|left, right| left.0.cmp(&right.0));
        let terms = by_term.iter().map(|(term, list)| (term.clone(), list.len() as u32)).collect();
        let segment = Self {
            connection: label.id,
            slug: label.slug.into(),
            name: label.name.into(),
            name_ends: name_ends.collect(),
            names: names.into_boxed_str(),
            text: text.into_boxed_str(),
            entries: entries.into_boxed_slice(),
            postings: by_term.into_iter().flat_map(|(_, list)| list).collect(),
        };
        Built { segment, terms }
    }
}

impl Entry {
    fn new(definition: &Definition, name_terms: u8, text: &mut String) -> Self {
        let start = text.len() as u32;
        let title = definition.title().map(|title| crate::displayed(title, 80)).unwrap_or_default();
        let signature = definition.signature();
        let parts = [&*title, &definition.summary(), signature.packed()];
        let ends = parts.map(|part| {
            text.push_str(part);
            text.len() as u32
        });
        Self {
            start,
            ends,
            name_terms,
            read_only_hint: definition.read_only_hint(),
            destructive_hint: definition.destructive_hint(),
            fingerprint: definition.fingerprint(),
        }
    }
}

/// One capability in the index, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    pub(super) segment: &'a Segment,
    pub(super) entry: usize,
}

impl<'a> EntryRef<'a> {
    pub fn connection(&self) -> ConnectionId {
        self.segment.connection
    }

    /// The connection's slug as written.
    pub fn slug(&self) -> &'a str {
        &self.segment.slug
    }

    pub fn connection_name(&self) -> &'a str {
        &self.segment.name
    }

    /// The tool's own name; the capability is `<slug>.<name>`.
    pub fn name(&self) -> &'a str {
        self.segment.name_of(self.entry)
    }

    pub fn title(&self) -> Option<&'a str> {
        Some(self.segment.part(self.entry, 0)).filter(|title| !title.is_empty())
    }

    pub fn summary(&self) -> &'a str {
        self.segment.part(self.entry, 1)
    }

    pub fn signature(&self) -> Signature {
        Signature::unpack(self.segment.part(self.entry, 2))
    }

    pub fn read_only_hint(&self) -> Option<bool> {
        self.segment.entries[self.entry].read_only_hint
    }

    pub fn destructive_hint(&self) -> Option<bool> {
        self.segment.entries[self.entry].destructive_hint
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.segment.entries[self.entry].fingerprint
    }
}

/// How often a term stands in each field, and how long the fields are.
struct Counts {
    times: [f32; FIELDS],
    lengths: [f32; FIELDS],
}

impl Counts {
    fn in_name(&self) -> bool {
        self.times[Field::Name as usize] > 0.0
    }

    fn weight(&self, ranking: &Ranking) -> f32 {
        (0..FIELDS)
            .filter(|&field| self.times[field] > 0.0)
            .map(|field| {
                let discount = ranking.length_discount[field];
                let length = 1.0 - discount + discount * self.lengths[field] / ranking.lengths[field];
                ranking.weights[field] * self.times[field] / length
            })
            .sum()
    }
}

/// Counts the terms of definitions of one connection.
struct Words {
    splitter: Splitter,
    called: Vec<String>,
}

impl Words {
    fn new(label: ConnectionLabel<'_>) -> Self {
        let splitter = Splitter::new();
        let mut called: Vec<String> = [label.slug, label.name]
            .iter()
            .flat_map(|text| splitter.terms(text))
            .map(|term| term.text)
            .collect();
        called.sort();
        called.dedup();
        Self { splitter, called }
    }

    /// The words of a tool's name, in order.
    fn name(&self, definition: &Definition) -> Vec<String> {
        let terms = self.splitter.terms(definition.name());
        terms.into_iter().filter(|term| !term.joined).map(|term| term.text).collect()
    }

    fn name_terms(&self, definition: &Definition) -> u8 {
        let mut terms = self.name(definition);
        terms.sort_unstable();
        terms.dedup();
        terms.len().min(255) as u8
    }

    fn of(&mut self, definition: &Definition) -> impl Iterator<Item = (Box<str>, Counts)> {
        let mut times: HashMap<Box<str>, [f32; FIELDS]> = HashMap::new();
        let mut lengths = [0.0; FIELDS];
        let mut add = |text: &str, field: Field| {
            self.splitter.split(text, &mut |term| {
                let field = field as usize;
                times.entry(term.text.into_boxed_str()).or_default()[field] += 1.0;
                // The joined spelling is an alternative, not one more word.
                lengths[field] += if term.joined { 0.0 } else { 1.0 };
            });
        };
        add(definition.name(), Field::Name);
        add(definition.title().unwrap_or_default(), Field::Title);
        let (first, rest) =
            definition.description().split_at(crate::summary::first_end(definition.description()));
        add(first, Field::Summary);
        add(rest, Field::Description);
        if let Some(schema) = definition.input_schema() {
            parameters(schema, 0, &mut add);
        }
        for term in &self.called {
            times.entry(term.as_str().into()).or_default()[Field::Server as usize] += 1.0;
        }
        lengths[Field::Server as usize] = self.called.len() as f32;
        for pair in self.name(definition).windows(2) {
            let together = format!("{}{}", pair[0], pair[1]).into_boxed_str();
            times.entry(together).or_default()[Field::Name as usize] += 1.0;
        }
        times.into_iter().map(move |(term, times)| (term, Counts { times, lengths }))
    }
}

/// Names and descriptions of parameters, nested ones down to the third level.
fn parameters(schema: &Value, depth: usize, add: &mut dyn FnMut(&str, Field)) {
    if depth > 2 {
        return;
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, inner) in properties {
            add(name, Field::ParameterName);
            if let Some(description) = inner.get("description").and_then(Value::as_str) {
                add(description, Field::ParameterDescription);
            }
            if let Some(values) = inner.get("enum").and_then(Value::as_array) {
                values.iter().take(20).filter_map(Value::as_str).for_each(|value| {
                    add(value, Field::ParameterDescription);
                });
            }
            parameters(inner, depth + 1, add);
        }
    }
    if let Some(items) = schema.get("items") {
        parameters(items, depth + 1, add);
    }
}
