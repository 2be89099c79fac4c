//! From a question to concepts: what is asked for, each with the terms of the index that may stand for it.

use std::collections::HashMap;

use super::{
    State,
    dictionary::{TermId, letters},
    ranking::Ranking,
    synonyms,
    terms::{Splitter, Term},
};

/// Concepts that are scored; of a longer question the most telling ones. Fits a bit mask.
pub(super) const MAX_CONCEPTS: usize = 32;
/// Words of a question that are looked at, and unknown ones among them whose meaning is guessed.
const MAX_WORDS: usize = 384;
const MAX_GUESSES: usize = 6;
/// Bytes between spaces from which ASCII is data, not words.
const LONGEST_CHUNK: usize = 400;
/// Letters by which an unknown word may be continued.
const MAX_COMPLETION: usize = 6;

/// A term of the index that stands for a concept, and how well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    pub term: TermId,
    pub weight: f32,
}

#[derive(Debug)]
pub(super) struct Concept {
    pub variants: Vec<Variant>,
    /// Inverse document frequency times how much the question cares.
    pub weight: f32,
    /// Postings that have to be read.
    pub postings: usize,
    /// Those of the first variant.
    pub own: usize,
}

/// What of a question can be answered.
#[derive(Debug, Default)]
pub(super) struct Concepts {
    /// The most telling first.
    pub known: Vec<Concept>,
    /// Weight of all words, also of those nothing stands for.
    pub asked: f32,
}

impl Concepts {
    /// Gives up synonyms, of the commonest words first, until no more than `budget` postings are left or
    /// no synonym is. A question of so many common words says itself what it means.
    pub fn shed(&mut self, budget: usize) {
        let mut all: usize = self.known.iter().map(|concept| concept.postings).sum();
        for concept in self.known.iter_mut().rev() {
            if all <= budget {
                break;
            }
            // The word itself, if it is known, comes first.
            if concept.variants.first().is_some_and(|variant| variant.weight >= 1.0) {
                concept.variants.truncate(1);
                all -= concept.postings - concept.own;
                concept.postings = concept.own;
            }
        }
    }
}

/// Counts visible postings.
pub(super) struct Frequencies<'a> {
    pub state: &'a State,
    /// A bit for each slot, and whether all that are in use are set.
    pub allowed: &'a [u64],
    pub everything: bool,
    pub documents: usize,
}

impl Frequencies<'_> {
    fn of(&self, term: TermId) -> usize {
        if self.everything {
            return self.state.dictionary.postings(term);
        }
        let ranges = self.state.dictionary.ranges(term).iter();
        let allowed =
            ranges.filter(|range| self.allowed[range.slot as usize / 64] >> (range.slot % 64) & 1 == 1);
        allowed.map(|range| range.length as usize).sum()
    }

    /// A term of the dictionary that the caller can see, and how often.
    fn visible(&self, text: &str) -> Option<(TermId, usize)> {
        let id = self.state.dictionary.id(text)?;
        Some((id, self.of(id))).filter(|&(_, count)| count > 0)
    }

    fn inverse(&self, count: usize) -> f32 {
        let (all, count) = (self.documents as f32, count as f32);
        (1.0 + (all - count + 0.5).max(0.0) / (count + 0.5)).ln()
    }
}

/// A word of the question and how much it says about what is asked for.
struct Word {
    text: String,
    care: f32,
}

fn words(text: &str, ranking: &Ranking) -> Vec<Word> {
    let splitter = Splitter::new();
    let mut words: Vec<Word> = Vec::new();
    for chunk in text.split_whitespace() {
        if words.len() >= MAX_WORDS {
            break;
        }
        // Encoded data; scripts without spaces have long chunks, too, but not of ASCII.
        if chunk.len() > LONGEST_CHUNK && chunk.is_ascii() {
            continue;
        }
        splitter.split(chunk, &mut |term: Term| {
            // The joined spelling of a two-part name is a variant of its parts, see `Maker::compounds`.
            if !term.joined && words.len() < MAX_WORDS {
                let care = if synonyms::is_conversational(&term.text) { ranking.conversational } else { 1.0 };
                words.push(Word { text: term.text, care });
            }
        });
    }
    words
}

pub(super) fn of(text: &str, frequencies: &Frequencies<'_>, ranking: &Ranking) -> Concepts {
    let words = words(text, ranking);
    // A long question says itself what it means in several words; a short one needs more guessing.
    let telling = words.iter().filter(|word| word.care == 1.0).count();
    let synonym = ranking.synonym * (ranking.synonym_words / telling as f32).min(1.0);
    let mut maker = Maker { frequencies, ranking, synonym, guesses: 0 };
    let mut by_text: HashMap<&str, usize> = HashMap::new();
    let mut found: Vec<(Concept, f32)> = Vec::new();
    let mut asked = 0.0;
    for (position, word) in words.iter().enumerate() {
        if let Some(&seen) = by_text.get(word.text.as_str()) {
            if seen != usize::MAX {
                found[seen].1 += 1.0;
            }
            continue;
        }
        let neighbours = [position.checked_sub(1), Some(position + 1)]
            .map(|place| place.and_then(|place| words.get(place)).map(|word| word.text.as_str()));
        match maker.concept(&word.text, neighbours) {
            Some(mut concept) => {
                concept.weight *= word.care;
                asked += concept.weight;
                by_text.insert(&word.text, found.len());
                found.push((concept, 1.0));
            }
            None => {
                asked += word.care * frequencies.inverse(0) * 0.5;
                by_text.insert(&word.text, usize::MAX);
            }
        }
    }
    if ranking.phrase > 0.0 {
        let mut seen = std::collections::HashSet::new();
        for pair in words.windows(2) {
            let together = format!("{}{}", pair[0].text, pair[1].text);
            if let Some(concept) = maker.phrase(&together).filter(|_| seen.insert(together)) {
                let care = pair[0].care * pair[1].care * ranking.phrase;
                found.push((Concept { weight: concept.weight * care, ..concept }, 1.0));
            }
        }
    }
    let mut known: Vec<Concept> = found
        .into_iter()
        .map(|(mut concept, times)| {
            concept.weight *= 1.0 + 0.5 * f32::ln(times);
            concept
        })
        .collect();
    known.sort_by(|left, right| right.weight.total_cmp(&left.weight));
    known.truncate(MAX_CONCEPTS);
    Concepts { known, asked }
}

struct Maker<'a> {
    frequencies: &'a Frequencies<'a>,
    ranking: &'a Ranking,
    synonym: f32,
    guesses: usize,
}

impl Maker<'_> {
    fn concept(&mut self, word: &str, neighbours: [Option<&str>; 2]) -> Option<Concept> {
        let mut variants: Vec<(Variant, usize)> = Vec::new();
        let exact = self.frequencies.visible(word);
        if let Some((term, count)) = exact {
            variants.push((Variant { term, weight: 1.0 }, count));
        }
        self.compounds(word, neighbours, &mut variants);
        if variants.is_empty() {
            self.corrected(word, &mut variants);
        }
        if self.synonym > 0.0 && !synonyms::is_conversational(word) {
            for other in synonyms::of(word) {
                if let Some((term, count)) = self.frequencies.visible(other) {
                    variants.push((Variant { term, weight: self.synonym }, count));
                }
            }
        }
        let count = match exact {
            Some((_, count)) => count,
            None => variants.iter().map(|(_, count)| *count).max()?,
        };
        let postings = variants.iter().map(|(_, count)| count).sum();
        let own = variants.first().map_or(0, |(_, count)| *count);
        let weight = self.frequencies.inverse(count);
        // A common word that stands for a rare one must not be worth what the rare one is.
        let worth = |other: usize| (self.frequencies.inverse(other) / weight).min(1.0);
        let variants = variants
            .into_iter()
            .map(|(variant, count)| Variant { weight: variant.weight * worth(count), ..variant })
            .collect();
        Some(Concept { variants, weight, postings, own })
    }

    fn phrase(&self, together: &str) -> Option<Concept> {
        let (term, postings) = self.frequencies.visible(together)?;
        let weight = self.frequencies.inverse(postings);
        let variants = vec![Variant { term, weight: 1.0 }];
        Some(Concept { variants, weight, postings, own: postings })
    }

    /// `time zone` finds `timezone`, `websearch` finds `web search`.
    fn compounds(
        &self,
        word: &str,
        [before, after]: [Option<&str>; 2],
        variants: &mut Vec<(Variant, usize)>,
    ) {
        let weight = self.ranking.compound;
        if weight == 0.0 {
            return;
        }
        let joined =
            [before.map(|before| format!("{}{word}", before)), after.map(|after| format!("{word}{}", after))];
        for joined in joined.into_iter().flatten() {
            if let Some((term, count)) = self.frequencies.visible(&joined) {
                variants.push((Variant { term, weight }, count));
            }
        }
        if variants.is_empty() && self.guesses < MAX_GUESSES && word.len() >= 6 && word.is_ascii() {
            let halves = (3..=word.len() - 3).find_map(|middle| {
                let (left, right) = word.split_at(middle);
                Some((self.frequencies.visible(left)?, self.frequencies.visible(right)?))
            });
            if let Some((left, right)) = halves {
                for (term, count) in [left, right] {
                    variants.push((Variant { term, weight: weight * 0.5 }, count));
                }
            }
        }
    }

    /// The nearest spelling the caller can see: one that continues the word, or one mistake away (two in
    /// long words).
    fn corrected(&mut self, word: &str, variants: &mut Vec<(Variant, usize)>) {
        let length = word.chars().count();
        if self.ranking.correction == 0.0 || length < 4 || self.guesses >= MAX_GUESSES {
            return;
        }
        self.guesses += 1;
        let best =
            self.spelt_alike(word, if length >= 8 { 2 } else { 1 }).into_iter().min_by(|left, right| {
                let (near, far) = (left.0.cmp(&right.0), right.1.cmp(&left.1));
                let text = |term: TermId| self.frequencies.state.dictionary.text(term);
                near.then(far).then_with(|| text(left.2).cmp(text(right.2)))
            });
        if let Some((_, count, term)) = best {
            variants.push((Variant { term, weight: self.ranking.correction }, count));
        }
    }

    /// Mistakes, visible postings and term of everything near enough.
    fn spelt_alike(&self, word: &str, most: usize) -> Vec<(usize, usize, TermId)> {
        let dictionary = &self.frequencies.state.dictionary;
        let mask = letters(word);
        let mut found = Vec::new();
        for length in word.len().saturating_sub(most)..=word.len() + MAX_COMPLETION {
            for &(other_mask, term) in dictionary.shelf(word, length) {
                let continues = || mask & !other_mask == 0 && dictionary.text(term).starts_with(word);
                let mistakes = if length > word.len() && continues() {
                    1
                } else if length <= word.len() + most && (mask ^ other_mask).count_ones() as usize <= 2 * most
                {
                    match distance(word, dictionary.text(term), most) {
                        Some(mistakes) => mistakes,
                        None => continue,
                    }
                } else {
                    continue;
                };
                let count = self.frequencies.of(term);
                if count > 0 {
                    found.push((mistakes, count, term));
                }
            }
        }
        found
    }
}

/// Edits (insert, delete, replace, swap neighbours) from `left` to `right`, if at most `most`. Optimal string
/// alignment, by bytes for speed: a non-ASCII letter counts for two.
pub(crate) fn distance(left: &str, right: &str, most: usize) -> Option<usize> {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    const WIDTH: usize = 48;
    if left.len().abs_diff(right.len()) > most || left.len() >= WIDTH || right.len() >= WIDTH {
        return None;
    }
    let mut rows = [[0usize; WIDTH]; 3];
    for (column, cell) in rows[0].iter_mut().enumerate() {
        *cell = column;
    }
    for row in 1..=left.len() {
        let [before, last, current] = {
            let at = |back: usize| (row + 3 - back) % 3;
            [at(2), at(1), at(0)]
        };
        rows[current][0] = row;
        let mut smallest = row;
        for column in 1..=right.len() {
            let replaced = rows[last][column - 1] + usize::from(left[row - 1] != right[column - 1]);
            let mut cell = replaced.min(rows[last][column] + 1).min(rows[current][column - 1] + 1);
            let swapped = row > 1
                && column > 1
                && left[row - 1] == right[column - 2]
                && left[row - 2] == right[column - 1];
            if swapped {
                cell = cell.min(rows[before][column - 2] + 1);
            }
            rows[current][column] = cell;
            smallest = smallest.min(cell);
        }
        if smallest > most {
            return None;
        }
    }
    Some(rows[left.len() % 3][right.len()]).filter(|&distance| distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("repositri", "repositori", 2), Some(1));
        assert_eq!(distance("calender", "calendar", 1), Some(1));
        assert_eq!(distance("abcd", "abdc", 1), Some(1));
        assert_eq!(distance("abcd", "wxyz", 2), None);
        assert_eq!(distance("same", "same", 1), Some(0));
        assert_eq!(distance(&"a".repeat(60), &"a".repeat(60), 2), None);
    }
}
