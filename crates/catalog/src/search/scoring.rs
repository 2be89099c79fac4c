//! Scores documents term by term and picks a page of them.
//!
//! The connections a caller may not see are skipped before a posting is read. A question of many common
//! words is bounded: its most telling concepts are read in full, the rest only for the best candidates.

use std::{cell::RefCell, cmp::Ordering, sync::Arc};

use switchboard_domain::ConnectionId;

use super::{
    Hit, QUERY_BYTES, SearchOutcome, SearchQuery, State,
    concepts::{self, Concept, Concepts, Frequencies, Variant},
    ranking::Ranking,
    segment::{EntryRef, Posting, Segment},
};

/// Postings read in full before only candidates are looked at.
const POSTINGS_BUDGET: usize = 25_000;
/// Candidates for which the remaining concepts are looked up.
const CANDIDATES: usize = 160;
/// Best matches whose order is refined. A constant, so that pages fit together.
const WINDOW: usize = 32;

/// What is known of one document while a question is answered.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    score: f32,
    /// Of the concept that is being read.
    current: f32,
    /// Concepts that are covered, and those covered by the name.
    covered: u32,
    named: u32,
}

thread_local! {
    /// Reused between questions; always all zeroes outside `answer`.
    static RUNNING: RefCell<Vec<Running>> = const { RefCell::new(Vec::new()) };
    static WEIGHTS: Box<[f32]> = Posting::weights();
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    document: u32,
    score: f32,
    covered: u32,
    exact: Exact,
}

/// Whether the question is this capability's name: such a match comes first whatever its score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exact {
    No,
    Name,
    QualifiedName,
}

pub(super) struct Scorer<'a> {
    state: &'a State,
    ranking: &'a Ranking,
    query: &'a SearchQuery<'a>,
    filter: Option<&'a dyn Fn(EntryRef<'_>) -> bool>,
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

    fn is_allowed(&self, slot: u32) -> bool {
        self.allowed[slot as usize / 64] >> (slot % 64) & 1 == 1
    }

    fn allowed_segments(&self) -> impl Iterator<Item = &'a Arc<Segment>> {
        let slots = self.state.slots.iter().enumerate();
        slots.filter(|(slot, _)| self.is_allowed(*slot as u32)).filter_map(|(_, segment)| segment.as_ref())
    }

    fn passes(&self, entry: EntryRef<'_>) -> bool {
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
        concepts.shed(POSTINGS_BUDGET);
        let mut candidates = self.candidates(&concepts);
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

    fn candidates(&self, concepts: &Concepts) -> Vec<Candidate> {
        RUNNING.with_borrow_mut(|running| {
            WEIGHTS.with(|weights| {
                let needed = self.state.documents as usize;
                if running.len() < needed {
                    running.resize(needed, Running::default());
                }
                let mut reading =
                    Reading { scorer: self, running, weights, touched: Vec::new(), round: Vec::new() };
                reading.run(&concepts.known)
            })
        })
    }

    fn locate(&self, document: u32) -> (u32, usize) {
        let slot = self.state.owners[document as usize];
        (slot, (document - self.state.bases[slot as usize]) as usize)
    }

    fn entry(&self, document: u32) -> Option<EntryRef<'a>> {
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

    fn order(&self, left: &Candidate, right: &Candidate) -> Ordering {
        right.exact.cmp(&left.exact).then(right.score.total_cmp(&left.score)).then_with(|| {
            let key = |candidate: &Candidate| {
                self.entry(candidate.document).map(|entry| (entry.slug(), entry.name()))
            };
            key(left).cmp(&key(right))
        })
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
        candidates.retain(|candidate| self.entry(candidate.document).is_some_and(|entry| self.passes(entry)));
        best(candidates).map_or(0.0, |candidate| candidate.score)
    }

    fn page(&self, mut candidates: Vec<Candidate>, concepts: &Concepts) -> SearchOutcome {
        let least = self.ranking.cut * self.best(&mut candidates);
        candidates.retain(|candidate| candidate.score >= least || candidate.exact != Exact::No);
        if self.filter.is_some() {
            candidates
                .retain(|candidate| self.entry(candidate.document).is_some_and(|entry| self.passes(entry)));
        }
        let total = candidates.len();
        let end = self.query.offset.saturating_add(self.query.limit).max(WINDOW);
        if end < candidates.len() {
            candidates.select_nth_unstable_by(end, |left, right| self.order(left, right));
            candidates.truncate(end);
        }
        candidates.sort_by(|left, right| self.order(left, right));
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

/// One pass over the postings of a question.
struct Reading<'a, 'b> {
    scorer: &'b Scorer<'a>,
    running: &'b mut Vec<Running>,
    weights: &'b [f32],
    touched: Vec<u32>,
    /// Documents of the concept that is being read.
    round: Vec<u32>,
}

impl Reading<'_, '_> {
    fn run(&mut self, concepts: &[Concept]) -> Vec<Candidate> {
        let mut read = 0;
        let mut full = 0;
        for (bit, concept) in concepts.iter().enumerate() {
            if bit > 0 && read + concept.postings > POSTINGS_BUDGET {
                break;
            }
            read += concept.postings;
            self.read(bit, concept);
            full = bit + 1;
        }
        let mut best: Vec<u32> = Vec::new();
        if full < concepts.len() {
            best = self.touched.clone();
            if best.len() > CANDIDATES {
                let (running, scorer) = (&*self.running, self.scorer);
                // Equal scores by name, or the choice would depend on the order of connections.
                let called = |document| scorer.entry(document).map(|entry| (entry.slug(), entry.name()));
                best.select_nth_unstable_by(CANDIDATES, |&left, &right| {
                    let scores = running[right as usize].score.total_cmp(&running[left as usize].score);
                    scores.then_with(|| called(left).cmp(&called(right)))
                });
                best.truncate(CANDIDATES);
            }
            best.sort_unstable();
        }
        for (bit, concept) in concepts.iter().enumerate().skip(full) {
            self.look_up(bit, concept, &best);
        }
        self.collect()
    }

    /// Turns what was touched into candidates and leaves everything zeroed. Most of what a common word
    /// touches is far below the best score, so without a filter it never becomes a candidate.
    fn collect(&mut self) -> Vec<Candidate> {
        let share = self.scorer.ranking.name_share;
        let mut best = 0.0f32;
        for &document in &self.touched {
            let running = &mut self.running[document as usize];
            if running.named != 0 {
                let terms = self.scorer.state.name_terms[document as usize].max(1);
                running.score *=
                    1.0 + share * (running.named.count_ones() as f32 / f32::from(terms)).min(1.0);
            }
            best = best.max(running.score);
        }
        let least = if self.scorer.filter.is_none() { self.scorer.ranking.cut * best } else { 0.0 };
        let mut candidates = Vec::new();
        for &document in &self.touched {
            let Running { score, covered, .. } = std::mem::take(&mut self.running[document as usize]);
            if score >= least {
                candidates.push(Candidate { document, score, covered, exact: Exact::No });
            }
        }
        candidates
    }

    fn read(&mut self, bit: usize, concept: &Concept) {
        let state = self.scorer.state;
        for variant in &concept.variants {
            for &range in state.dictionary.ranges(variant.term) {
                if !self.scorer.is_allowed(range.slot) {
                    continue;
                }
                let base = state.bases[range.slot as usize];
                for posting in state.postings(range) {
                    self.add(base + posting.document(), bit, variant, *posting);
                }
            }
        }
        self.settle(bit, concept);
    }

    fn settle(&mut self, bit: usize, concept: &Concept) {
        let saturation = self.scorer.ranking.saturation;
        for document in self.round.drain(..) {
            let running = &mut self.running[document as usize];
            if running.covered == 0 {
                self.touched.push(document);
            }
            let weight = std::mem::take(&mut running.current);
            running.score += concept.weight * (saturation + 1.0) * weight / (saturation + weight);
            running.covered |= 1 << bit;
        }
    }

    /// The same for chosen documents only, in order of their numbers. Only words themselves are looked up:
    /// a synonym of a common word changes little.
    fn look_up(&mut self, bit: usize, concept: &Concept, documents: &[u32]) {
        let state = self.scorer.state;
        for variant in concept.variants.iter().filter(|variant| variant.weight > 0.5) {
            let mut ranges = state.dictionary.ranges(variant.term);
            for &document in documents {
                let (slot, entry) = self.scorer.locate(document);
                // Both are in order of slot: what lies before this document is never needed again.
                ranges = &ranges[ranges.partition_point(|range| range.slot < slot)..];
                let Some(&range) = ranges.first().filter(|range| range.slot == slot) else { continue };
                let postings = state.postings(range);
                let place = postings.binary_search_by_key(&(entry as u32), |posting| posting.document());
                if let Ok(place) = place {
                    self.add(document, bit, variant, postings[place]);
                }
            }
        }
        self.settle(bit, concept);
    }

    fn add(&mut self, document: u32, bit: usize, variant: &Variant, posting: Posting) {
        let running = &mut self.running[document as usize];
        if running.current == 0.0 {
            self.round.push(document);
        }
        running.current += variant.weight * self.weights[posting.step()];
        if posting.in_name() && variant.weight > 0.5 {
            running.named |= 1 << bit;
        }
    }
}
