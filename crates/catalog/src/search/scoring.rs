//! From candidates to a page: what passes the filter, what fits well enough, in which order.

use std::{cmp::Ordering, sync::Arc};

use switchboard_domain::ConnectionId;

use super::{
    Hit, QUERY_BYTES, SearchOutcome, SearchQuery, State,
    concepts::{self, Concept, Concepts, Frequencies},
    ranking::Ranking,
    reading,
    segment::{EntryRef, Segment},
};

/// Best matches whose order is refined. A constant, so that pages fit together.
const WINDOW: usize = 32;

/// Names that are asked for together.
const NAMES_AT_ONCE: usize = 16;

#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub document: u32,
    pub score: f32,
    pub covered: u32,
    pub exact: Exact,
}

/// Whether the question is this capability's name: such a match comes first whatever its score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exact {
    No,
    Name,
    QualifiedName,
}

pub(super) struct Scorer<'a> {
    pub state: &'a State,
    pub ranking: &'a Ranking,
    query: &'a SearchQuery<'a>,
    pub filter: Option<&'a dyn Fn(EntryRef<'_>) -> bool>,
    /// A bit for each slot.
    allowed: Vec<u64>,
    documents: usize,
}

impl<'a> Scorer<'a> {
    pub fn new(
        state: &'a State,
        ranking: &'a Ranking,
        query: &'a SearchQuery<'a>,
        filter: Option<&'a dyn Fn(EntryRef<'_>) -> bool>,
    ) -> Self {
        let mut scorer = Self {
            state,
            ranking,
            query,
            filter,
            allowed: vec![0; state.slots.len().div_ceil(64)],
            documents: 0,
        };
        match query.connection {
            Some(id) if query.allowed.contains(id) => scorer.allow(id),
            Some(_) => {}
            None => scorer.allow_all(),
        }
        scorer
    }

    fn allow(&mut self, id: ConnectionId) {
        if let Some(slot) = self.state.slot_of(id) {
            self.allow_slot(slot);
        }
    }

    /// Both lists are in order of id: one walk along them is cheaper than hundreds of look-ups.
    fn allow_all(&mut self) {
        let mut connections = self.state.connections.as_slice();
        for id in self.query.allowed.iter() {
            let before = connections.iter().take_while(|(other, _)| *other < id).count();
            connections = &connections[before..];
            if let Some(&(_, slot)) = connections.first().filter(|(other, _)| *other == id) {
                self.allow_slot(slot);
            }
        }
    }

    fn allow_slot(&mut self, slot: u32) {
        self.allowed[slot as usize / 64] |= 1 << (slot % 64);
        self.documents += self.state.slots[slot as usize].as_ref().map_or(0, |segment| segment.len());
    }

    pub fn is_allowed(&self, slot: u32) -> bool {
        self.allowed[slot as usize / 64] >> (slot % 64) & 1 == 1
    }

    fn allowed_segments(&self) -> impl Iterator<Item = &'a Arc<Segment>> {
        let slots = self.state.slots.iter().enumerate();
        slots.filter(|(slot, _)| self.is_allowed(*slot as u32)).filter_map(|(_, segment)| segment.as_ref())
    }

    pub fn passes(&self, entry: EntryRef<'_>) -> bool {
        self.filter.is_none_or(|filter| filter(entry))
    }

    pub fn answer(&self) -> SearchOutcome {
        let text = &self.query.text[..self.query.text.floor_char_boundary(QUERY_BYTES)];
        if !text.chars().any(char::is_alphanumeric) {
            return self.listing();
        }
        let frequencies = Frequencies {
            state: self.state,
            allowed: &self.allowed,
            everything: self.documents == self.state.documents as usize,
            documents: self.documents,
        };
        let mut concepts = concepts::of(text, &frequencies, self.ranking);
        concepts.shed(reading::SYNONYMS_BUDGET);
        let mut candidates = reading::candidates(self, &concepts.known);
        self.name_exactly(text, &mut candidates);
        self.page(candidates, &concepts)
    }

    /// Everything, by connection and name.
    fn listing(&self) -> SearchOutcome {
        let mut segments: Vec<_> = self.allowed_segments().collect();
        segments.sort_by(|left, right| left.slug.cmp(&right.slug));
        let mut outcome = SearchOutcome { fits_well: true, ..SearchOutcome::default() };
        for segment in segments {
            for entry in 0..segment.len() {
                if !self.passes(EntryRef { segment, entry }) {
                    continue;
                }
                if outcome.total >= self.query.offset && outcome.hits.len() < self.query.limit {
                    outcome.hits.push(Hit { segment: segment.clone(), entry });
                }
                outcome.total += 1;
            }
        }
        outcome
    }

    pub fn locate(&self, document: u32) -> (u32, usize) {
        let slot = self.state.owners[document as usize];
        (slot, (document - self.state.bases[slot as usize]) as usize)
    }

    pub fn entry(&self, document: u32) -> Option<EntryRef<'a>> {
        let (slot, entry) = self.locate(document);
        Some(EntryRef { segment: self.state.slots[slot as usize].as_ref()?, entry })
    }

    /// A question that is the name of a capability has that capability as its first answer.
    fn name_exactly(&self, text: &str, candidates: &mut Vec<Candidate>) {
        let text = text.trim();
        if text.len() > 1100 || text.contains(char::is_whitespace) {
            return;
        }
        for (slot, segment) in self.state.slots.iter().enumerate() {
            let Some(segment) = segment.as_ref().filter(|_| self.is_allowed(slot as u32)) else { continue };
            let qualified = text
                .strip_prefix(&*segment.slug)
                .and_then(|rest| rest.strip_prefix('.').or_else(|| rest.strip_prefix("__")));
            let found = match qualified {
                Some(name) => segment.find(name).map(|entry| (entry, Exact::QualifiedName)),
                None => segment.find(text).map(|entry| (entry, Exact::Name)),
            };
            let Some((entry, exact)) = found else { continue };
            let document = self.state.bases[slot] + entry as u32;
            match candidates.iter_mut().find(|candidate| candidate.document == document) {
                Some(candidate) => candidate.exact = exact,
                None => candidates.push(Candidate { document, score: 0.0, covered: 0, exact }),
            }
        }
    }

    /// Equal ones by name: documents are numbered so.
    fn order(left: &Candidate, right: &Candidate) -> Ordering {
        let scores = right.exact.cmp(&left.exact).then(right.score.total_cmp(&left.score));
        scores.then(left.document.cmp(&right.document))
    }

    /// Asks the filter about each. Names lie all over memory: a few are looked at together before the filter
    /// reads them, so that they are waited for once.
    fn keep_passing(&self, candidates: &mut Vec<Candidate>) {
        if self.filter.is_none() {
            return;
        }
        let mut passing = Vec::with_capacity(candidates.len());
        for some in candidates.chunks(NAMES_AT_ONCE) {
            let names =
                some.iter().filter_map(|candidate| self.entry(candidate.document)?.name().bytes().next());
            std::hint::black_box(names.fold(0, |all, first| all ^ first));
            passing.extend(
                some.iter().filter(|candidate| {
                    self.entry(candidate.document).is_some_and(|entry| self.passes(entry))
                }),
            );
        }
        *candidates = passing;
    }

    /// The best score among what passes the filter. What is found not to pass on the way is dropped.
    fn best(&self, candidates: &mut Vec<Candidate>) -> f32 {
        let best = |candidates: &[Candidate]| {
            candidates.iter().max_by(|left, right| left.score.total_cmp(&right.score)).copied()
        };
        let Some(first) = best(candidates) else { return 0.0 };
        if self.entry(first.document).is_some_and(|entry| self.passes(entry)) {
            return first.score;
        }
        self.keep_passing(candidates);
        best(candidates).map_or(0.0, |candidate| candidate.score)
    }

    fn page(&self, mut candidates: Vec<Candidate>, concepts: &Concepts) -> SearchOutcome {
        let least = self.ranking.cut * self.best(&mut candidates);
        candidates.retain(|candidate| candidate.score >= least || candidate.exact != Exact::No);
        self.keep_passing(&mut candidates);
        let total = candidates.len();
        let end = self.query.offset.saturating_add(self.query.limit).max(WINDOW);
        if end < candidates.len() {
            candidates.select_nth_unstable_by(end, Self::order);
            candidates.truncate(end);
        }
        candidates.sort_unstable_by(Self::order);
        let fits_well = candidates.first().is_some_and(|best| {
            let covered: f32 = covered_weight(&concepts.known, best.covered);
            best.exact != Exact::No || covered >= 0.5 * concepts.asked
        });
        if concepts.known.len() >= self.ranking.task_terms && self.ranking.redundancy > 0.0 {
            let named = candidates.iter().take_while(|candidate| candidate.exact != Exact::No).count();
            let window = WINDOW.min(candidates.len());
            self.diversify(&mut candidates[named.min(window)..window], &concepts.known);
        }
        let hits = candidates
            .iter()
            .skip(self.query.offset)
            .take(self.query.limit)
            .filter_map(|candidate| {
                let (slot, entry) = self.locate(candidate.document);
                Some(Hit { segment: self.state.slots[slot as usize].clone()?, entry })
            })
            .collect();
        SearchOutcome { hits, total, fits_well }
    }

    /// A task needs several tools: what a better one already covers counts less for those after it.
    fn diversify(&self, window: &mut [Candidate], concepts: &[Concept]) {
        let mut seen = 0u32;
        let mut covered: Vec<f32> =
            window.iter().map(|candidate| covered_weight(concepts, candidate.covered)).collect();
        for position in 0..window.len() {
            let gain = |place: usize| {
                let again = covered_weight(concepts, window[place].covered & seen);
                window[place].score
                    * (1.0 - self.ranking.redundancy * again / covered[place].max(f32::MIN_POSITIVE))
            };
            let mut best = (position, gain(position));
            for other in position + 1..window.len() {
                let gained = gain(other);
                if gained > best.1 {
                    best = (other, gained);
                }
            }
            window[position..=best.0].rotate_right(1);
            covered[position..=best.0].rotate_right(1);
            seen |= window[position].covered;
        }
    }
}

fn covered_weight(concepts: &[Concept], mut covered: u32) -> f32 {
    let mut weight = 0.0;
    while covered != 0 {
        weight += concepts.get(covered.trailing_zeros() as usize).map_or(0.0, |concept| concept.weight);
        covered &= covered - 1;
    }
    weight
}
