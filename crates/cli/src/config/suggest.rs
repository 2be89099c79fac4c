//! "Did you mean": the nearest known name to one that is not known.

/// Optimal string alignment distance: insertions, deletions, substitutions, swapped neighbours.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(80).collect();
    let right: Vec<char> = right.chars().take(80).collect();
    let width = right.len() + 1;
    let mut cells = vec![0; (left.len() + 1) * width];
    for row in 0..=left.len() {
        for column in 0..=right.len() {
            let at = |row: usize, column: usize| row * width + column;
            cells[at(row, column)] = if row == 0 || column == 0 {
                row + column
            } else {
                let same = usize::from(left[row - 1] != right[column - 1]);
                let mut best = (cells[at(row - 1, column)] + 1)
                    .min(cells[at(row, column - 1)] + 1)
                    .min(cells[at(row - 1, column - 1)] + same);
                if row > 1
                    && column > 1
                    && left[row - 1] == right[column - 2]
                    && left[row - 2] == right[column - 1]
                {
                    best = best.min(cells[at(row - 2, column - 2)] + 1);
                }
                best
            };
        }
    }
    cells[cells.len() - 1]
}

/// Whether one is the other with at most two typing errors.
pub(crate) fn is_typing_error(given: &str, meant: &str) -> bool {
    distance(given, meant) <= 2
}

/// The nearest candidate, if it is near enough to be what was meant: a third of its letters may differ.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(given, candidate), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_near_and_other_words_are_not() {
        let known = ["listen", "public_url", "insecure_http"];
        assert_eq!(nearest("listn", known), Some("listen"));
        assert_eq!(nearest("pubilc_url", known), Some("public_url"));
        assert_eq!(nearest("public-url", known), Some("public_url"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
