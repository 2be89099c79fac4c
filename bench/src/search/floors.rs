//! What search must not fall below (nDCG@10). Our own set is checked everywhere; the third-party sets
//! are other people's data, checked where `SEARCH_SETS` names their folder.

use std::path::{Path, PathBuf};

use switchboard_catalog::search::Ranking;

use super::{corpus::Corpus, quality, sets};

fn ndcg(set: &sets::Set, corpus: &Corpus) -> f64 {
    let judged: Vec<_> =
        set.queries.iter().map(|query| quality::judge(query, &corpus.answer(&query.query, 10))).collect();
    quality::mean(&judged).ndcg10
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sets/own")
}

#[test]
fn our_own_set_stays_above_its_floor() {
    let sets = sets::load(&[own()]).expect("our own set");
    let corpus = Corpus::new(&sets[0].tools, Ranking::default()).expect("an index");
    assert!(corpus.tools >= 150 && sets[0].queries.len() >= 60);
    let reached = ndcg(&sets[0], &corpus);
    assert!(reached >= 0.74, "nDCG@10 {reached:.3}");
}

#[test]
fn every_label_of_our_own_set_names_a_tool() {
    let sets = sets::load(&[own()]).expect("our own set");
    for query in &sets[0].queries {
        for id in query.groups.iter().flatten().flatten().chain(&query.relevant) {
            assert!(sets[0].tools.iter().any(|tool| tool.id == *id), "{}: {id}", query.query);
        }
    }
}

#[test]
fn third_party_sets_stay_above_the_reference() {
    let Some(folder) = std::env::var_os("SEARCH_SETS") else {
        println!("skipped: SEARCH_SETS names no folder of search sets");
        return;
    };
    let sets = sets::load(&[PathBuf::from(folder)]).expect("search sets");
    let pool = Corpus::new(sets.iter().flat_map(|set| &set.tools), Ranking::default()).expect("an index");
    for (name, alone, together) in
        [("livemcpbench", 0.47, 0.39), ("metatool", 0.58, 0.34), ("stabletoolbench", 0.71, 0.67)]
    {
        let set = sets.iter().find(|set| set.name == name).unwrap_or_else(|| panic!("no set {name}"));
        let own = Corpus::new(&set.tools, Ranking::default()).expect("an index");
        let reached = (ndcg(set, &own), ndcg(set, &pool));
        assert!(reached.0 >= alone && reached.1 >= together, "{name}: {reached:.3?}");
    }
}
