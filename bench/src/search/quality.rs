//! How good answers are: hit@1, recall@5, nDCG@10 (Järvelin and Kekäläinen, 2002) and MRR over groups.
//!
//! A group is any-of: the first of its tools that is found counts, the others neither help nor harm. A
//! query without groups has one group for each relevant tool.

use super::sets::Query;

#[derive(Debug, Clone, Copy, Default)]
pub struct Quality {
    pub hit1: f64,
    pub recall5: f64,
    pub ndcg10: f64,
    pub mrr: f64,
}

fn discount(rank: usize) -> f64 {
    1.0 / ((rank + 2) as f64).log2()
}

/// Judges the ranked `answer` to one query.
pub fn judge(query: &Query, answer: &[&str]) -> Quality {
    let groups: Vec<Vec<&str>> = match &query.groups {
        Some(groups) if !groups.is_empty() => {
            groups.iter().map(|group| group.iter().map(String::as_str).collect()).collect()
        }
        _ => query.relevant.iter().map(|id| vec![id.as_str()]).collect(),
    };
    let mut open = vec![true; groups.len()];
    let mut quality = Quality::default();
    let mut gained = 0.0;
    let mut found_by_5 = 0;
    for (rank, id) in answer.iter().enumerate().take(10) {
        let Some(group) = (0..groups.len()).find(|&group| open[group] && groups[group].contains(id)) else {
            continue;
        };
        open[group] = false;
        gained += discount(rank);
        found_by_5 += usize::from(rank < 5);
        if rank == 0 {
            quality.hit1 = 1.0;
        }
        if quality.mrr == 0.0 {
            quality.mrr = 1.0 / (rank + 1) as f64;
        }
    }
    let ideal: f64 = (0..groups.len().min(10)).map(discount).sum();
    quality.ndcg10 = gained / ideal;
    quality.recall5 = found_by_5 as f64 / groups.len() as f64;
    quality
}

pub fn mean(all: &[Quality]) -> Quality {
    let count = all.len().max(1) as f64;
    let of = |part: fn(&Quality) -> f64| all.iter().map(part).sum::<f64>() / count;
    Quality {
        hit1: of(|quality| quality.hit1),
        recall5: of(|quality| quality.recall5),
        ndcg10: of(|quality| quality.ndcg10),
        mrr: of(|quality| quality.mrr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(groups: &[&[&str]]) -> Query {
        let groups: Vec<Vec<String>> =
            groups.iter().map(|group| group.iter().map(|id| (*id).to_owned()).collect()).collect();
        Query { query: String::new(), relevant: groups.concat(), groups: Some(groups), kind: String::new() }
    }

    #[test]
    fn groups_count_once() {
        let quality = judge(&query(&[&["a", "b"], &["c"]]), &["a", "b", "x", "c"]);
        assert_eq!((quality.hit1, quality.recall5, quality.mrr), (1.0, 1.0, 1.0));
        let ideal = 1.0 + 1.0 / 3f64.log2();
        assert!((quality.ndcg10 - (1.0 + 1.0 / 5f64.log2()) / ideal).abs() < 1e-9);
    }

    #[test]
    fn nothing_found_is_zero() {
        let quality = judge(&query(&[&["a"]]), &["b", "c"]);
        assert_eq!((quality.hit1, quality.recall5, quality.ndcg10, quality.mrr), (0.0, 0.0, 0.0, 0.0));
    }
}
