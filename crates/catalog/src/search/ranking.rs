//! The figures of the ranking, in one place, so that each can be switched off and its worth measured.

/// Where a term stands in a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Name,
    Title,
    Server,
    Summary,
    Description,
    ParameterName,
    ParameterDescription,
}

pub(crate) const FIELDS: usize = 7;

/// BM25F (Robertson and Zaragoza, 2009) and what is added to it.
///
/// Lengths are measured against fixed averages, not those of the collection: a score must not depend on
/// tools the caller can't see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// Weights of name, title, server, first sentence, rest of the description, parameter names and descriptions.
    pub weights: [f32; FIELDS],
    /// How many terms each of these usually has.
    pub lengths: [f32; FIELDS],
    /// How strongly each is discounted for its length.
    pub length_discount: [f32; FIELDS],
    /// How soon a repeated term stops counting.
    pub saturation: f32,
    /// How much it is worth that all of a tool's name was asked for.
    pub name_share: f32,
    /// What two neighbouring words of the question count that are neighbours in the name, too.
    pub phrase: f32,
    /// What a synonym counts beside the word itself.
    pub synonym: f32,
    /// Telling words of a question up to which synonyms count in full.
    pub synonym_words: f32,
    /// What a corrected spelling or completed prefix counts.
    pub correction: f32,
    /// What two words written as one count, and one word written as two.
    pub compound: f32,
    /// What a conversational word (`need`, `please`, `show`) counts.
    pub conversational: f32,
    /// How much a tool is discounted for parts of the query that a better tool already covers.
    pub redundancy: f32,
    /// Terms of a query from which redundancy counts: a task, not a keyword.
    pub task_terms: usize,
    /// Matches below this share of the best score are not matches.
    pub cut: f32,
}

impl Default for Ranking {
    fn default() -> Self {
        Self {
            weights: [3.0, 2.0, 3.0, 1.6, 0.4, 0.5, 0.15],
            lengths: [3.0, 3.0, 2.0, 12.0, 18.0, 4.0, 25.0],
            length_discount: [0.8, 0.5, 0.5, 0.7, 0.5, 0.5, 0.5],
            saturation: 1.5,
            name_share: 0.1,
            phrase: 0.3,
            synonym: 0.3,
            synonym_words: 6.0,
            correction: 0.3,
            compound: 0.8,
            conversational: 0.5,
            redundancy: 0.15,
            task_terms: 8,
            cut: 0.1,
        }
    }
}

impl Ranking {
    /// Sets one figure by its name; says whether there is one that takes so many values.
    pub fn set(&mut self, name: &str, values: &[f32]) -> bool {
        let many = match name {
            "weights" => Some(&mut self.weights),
            "lengths" => Some(&mut self.lengths),
            "length_discount" => Some(&mut self.length_discount),
            _ => None,
        };
        if let Some(many) = many {
            let fits = values.len() == FIELDS;
            if fits {
                many.copy_from_slice(values);
            }
            return fits;
        }
        let &[value] = values else { return false };
        let one = match name {
            "saturation" => &mut self.saturation,
            "synonym" => &mut self.synonym,
            "name_share" => &mut self.name_share,
            "phrase" => &mut self.phrase,
            "synonym_words" => &mut self.synonym_words,
            "correction" => &mut self.correction,
            "compound" => &mut self.compound,
            "conversational" => &mut self.conversational,
            "redundancy" => &mut self.redundancy,
            "cut" => &mut self.cut,
            "task_terms" => {
                self.task_terms = value.max(0.0) as usize;
                return true;
            }
            _ => return false,
        };
        *one = value;
        true
    }
}
