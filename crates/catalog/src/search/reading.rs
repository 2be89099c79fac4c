//! Scores documents term by term.
//!
//! The connections a caller may not see are skipped before a posting is read. A question of many common
//! words is bounded: its most telling concepts are read in full, the rest only for the best candidates.

use std::cell::RefCell;

use super::{
    concepts::{Concept, Variant},
    dictionary::Range,
    scoring::{Candidate, Exact, Scorer},
    segment::Posting,
};

/// Postings of a question above which synonyms are given up.
pub(super) const SYNONYMS_BUDGET: usize = 25_000;
/// Postings read in full before only candidates are looked at.
const POSTINGS_BUDGET: usize = 16_000;
/// Candidates for which the remaining concepts are looked up.
const CANDIDATES: usize = 320;

/// Ranges whose postings are asked for together.
const RANGES_AT_ONCE: usize = 16;

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

/// Everything that one of the concepts stands in, with its score.
pub(super) fn candidates(scorer: &Scorer<'_>, concepts: &[Concept]) -> Vec<Candidate> {
    RUNNING.with_borrow_mut(|running| {
        WEIGHTS.with(|weights| {
            let needed = scorer.state.documents as usize;
            if running.len() < needed {
                running.resize(needed, Running::default());
            }
            Reading { scorer, running, weights, touched: Vec::new(), round: Vec::new() }.run(concepts)
        })
    })
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

impl<'a> Reading<'a, '_> {
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
                let running = &*self.running;
                // Documents are numbered by name: equal scores don't depend on the order of connections.
                best.select_nth_unstable_by(CANDIDATES, |&left, &right| {
                    let scores = running[right as usize].score.total_cmp(&running[left as usize].score);
                    scores.then(left.cmp(&right))
                });
                best.truncate(CANDIDATES);
            }
            best.sort_unstable_by_key(|&document| self.scorer.locate(document));
        }
        for (bit, concept) in concepts.iter().enumerate().skip(full) {
            self.look_up(bit, concept, &best);
        }
        self.collect()
    }

    /// Turns what was touched into candidates and leaves everything zeroed. Most of what a common word
    /// touches is far below the best score and never becomes a candidate.
    fn collect(&mut self) -> Vec<Candidate> {
        let share = self.scorer.ranking.name_share;
        let mut best = (0.0f32, None);
        for &document in &self.touched {
            let running = &mut self.running[document as usize];
            if running.named != 0 {
                let terms = self.scorer.state.name_terms[document as usize].max(1);
                running.score *=
                    1.0 + share * (running.named.count_ones() as f32 / f32::from(terms)).min(1.0);
            }
            if running.score > best.0 {
                best = (running.score, Some(document));
            }
        }
        // What the filter refuses must not decide what a match is.
        let passes =
            best.1.and_then(|best| self.scorer.entry(best)).is_some_and(|entry| self.scorer.passes(entry));
        let least = if passes { self.scorer.ranking.cut * best.0 } else { 0.0 };
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
        if let [only] = concept.variants.as_slice() {
            return self.read_only(bit, concept, only);
        }
        for variant in &concept.variants {
            for ranges in self.scorer.state.dictionary.ranges(variant.term).chunks(RANGES_AT_ONCE) {
                for (base, postings) in self.fetched(ranges) {
                    for posting in postings {
                        self.add(base + posting.document(), bit, variant, *posting);
                    }
                }
            }
        }
        self.settle(bit, concept);
    }

    /// A concept with one variant needs no second pass over its documents.
    fn read_only(&mut self, bit: usize, concept: &Concept, variant: &Variant) {
        let saturation = self.scorer.ranking.saturation;
        let named = u32::from(variant.weight > 0.5) << bit;
        for ranges in self.scorer.state.dictionary.ranges(variant.term).chunks(RANGES_AT_ONCE) {
            for (base, postings) in self.fetched(ranges) {
                for posting in postings {
                    let document = base + posting.document();
                    let weight = variant.weight * self.weights[posting.step()];
                    let running = &mut self.running[document as usize];
                    if running.covered == 0 {
                        self.touched.push(document);
                    }
                    running.score += concept.weight * (saturation + 1.0) * weight / (saturation + weight);
                    running.covered |= 1 << bit;
                    running.named |= if posting.in_name() { named } else { 0 };
                }
            }
        }
    }

    /// Postings of ranges the caller may see, with the number of the first document of their segment. They lie
    /// in as many places as there are ranges: the first of each is looked at here, so that the memory they are
    /// in is waited for once and not once for each.
    fn fetched(&self, ranges: &[Range]) -> impl Iterator<Item = (u32, &'a [Posting])> + use<'a> {
        let state = self.scorer.state;
        let mut fetched: [(u32, &'a [Posting]); RANGES_AT_ONCE] = [(0, &[]); RANGES_AT_ONCE];
        let mut first = 0;
        for (place, range) in fetched.iter_mut().zip(ranges) {
            if self.scorer.is_allowed(range.slot) {
                *place = (state.bases[range.slot as usize], state.postings(*range));
                first ^= place.1.first().map_or(0, |posting| posting.document());
            }
        }
        std::hint::black_box(first);
        fetched.into_iter()
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

    /// The same for chosen documents only, in order of slot and entry. Only words themselves are looked up:
    /// a synonym of a common word changes little.
    fn look_up(&mut self, bit: usize, concept: &Concept, documents: &[u32]) {
        let state = self.scorer.state;
        for variant in concept.variants.iter().filter(|variant| variant.weight > 0.5) {
            let mut ranges = state.dictionary.ranges(variant.term);
            for documents in documents.chunks(RANGES_AT_ONCE) {
                let mut found: [&[Posting]; RANGES_AT_ONCE] = [&[]; RANGES_AT_ONCE];
                let mut first = 0;
                for (postings, &document) in found.iter_mut().zip(documents) {
                    let (slot, _) = self.scorer.locate(document);
                    // Both are in order of slot: what lies before this document is never needed again.
                    ranges = &ranges[ranges.partition_point(|range| range.slot < slot)..];
                    if let Some(&range) = ranges.first().filter(|range| range.slot == slot) {
                        *postings = state.postings(range);
                        first ^= postings.first().map_or(0, |posting| posting.document());
                    }
                }
                std::hint::black_box(first);
                for (postings, &document) in found.into_iter().zip(documents) {
                    let (_, entry) = self.scorer.locate(document);
                    let place = postings.binary_search_by_key(&(entry as u32), |posting| posting.document());
                    if let Ok(place) = place {
                        self.add(document, bit, variant, postings[place]);
                    }
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
