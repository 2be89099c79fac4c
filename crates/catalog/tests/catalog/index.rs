//! Search as a caller meets it.

use std::{collections::HashSet, sync::Arc};

use switchboard_catalog::{ConnectionSet, EntryRef, Index, SearchOutcome, SearchQuery};

use crate::{id, names, put, tool};

fn sample() -> Index {
    let index = Index::new();
    let linear = [
        tool("create_issue", "Create a new issue in a team."),
        tool("list_issues", "List the issues of a team."),
        tool("delete_issue", "Delete an issue for good."),
    ];
    let github = [
        tool("create_issue", "Create a new issue in a GitHub repository."),
        tool("createPullRequest", "Open a pull request."),
        tool("search_code", "Search code across repositories."),
    ];
    let weather = [
        tool("get_forecast", "Weather forecast for a city."),
        tool("天気予報", "東京の天気予報を取得します"),
    ];
    put(&index, 1, "linear", &linear);
    put(&index, 2, "github", &github);
    put(&index, 3, "weather", &weather);
    index
}

fn everyone() -> ConnectionSet {
    [1, 2, 3].map(id).into_iter().collect()
}

fn search(index: &Index, text: &str, allowed: &ConnectionSet) -> SearchOutcome {
    index.search(&SearchQuery { text, connection: None, allowed, limit: 20, offset: 0 }, None)
}

fn first(index: &Index, text: &str) -> String {
    names(&search(index, text, &everyone()).hits).into_iter().next().unwrap_or_default()
}

#[test]
fn finds_what_is_meant() {
    let index = sample();
    let cases = [
        ("open a pull request", "github.createPullRequest"),
        ("github issue", "github.create_issue"),
        ("remove an issue", "linear.delete_issue"),
        ("forcast", "weather.get_forecast"),
        ("pullrequest", "github.createPullRequest"),
        ("東京の天気", "weather.天気予報"),
        ("will it rain tomorrow", "weather.get_forecast"),
        ("weather.get_forecast", "weather.get_forecast"),
        ("linear.create_issue", "linear.create_issue"),
        ("github__create_issue", "github.create_issue"),
        ("createPullRequest", "github.createPullRequest"),
    ];
    for (text, expected) in cases {
        assert_eq!(first(&index, text), expected, "{text}");
    }
}

#[test]
fn an_empty_question_lists_everything_in_order() {
    let index = sample();
    let all = [
        "github.createPullRequest",
        "github.create_issue",
        "github.search_code",
        "linear.create_issue",
        "linear.delete_issue",
        "linear.list_issues",
        "weather.get_forecast",
        "weather.天気予報",
    ];
    for text in ["", "   ", "*", "?!"] {
        let outcome = search(&index, text, &everyone());
        assert_eq!(names(&outcome.hits), all);
        assert_eq!(outcome.total, 8);
    }
    let allowed = everyone();
    let one = SearchQuery { text: "", connection: Some(id(1)), allowed: &allowed, limit: 2, offset: 1 };
    let outcome = index.search(&one, None);
    assert_eq!(
        (names(&outcome.hits), outcome.total),
        (vec!["linear.delete_issue".into(), "linear.list_issues".into()], 3)
    );
}

#[test]
fn what_is_not_granted_does_not_exist() {
    let index = sample();
    let only: ConnectionSet = [id(2)].into_iter().collect();
    for text in ["issue", "", "linear.create_issue", "create_issue", "forecast"] {
        let outcome = search(&index, text, &only);
        assert!(names(&outcome.hits).iter().all(|name| name.starts_with("github.")), "{text}");
        assert!(outcome.total <= 3);
    }
    assert_eq!(search(&index, "issue", &ConnectionSet::default()).total, 0);
    // A connection that is asked for but not granted is no connection.
    let query = SearchQuery { text: "issue", connection: Some(id(1)), allowed: &only, limit: 5, offset: 0 };
    assert_eq!(index.search(&query, None).total, 0);
}

#[test]
fn hidden_tools_change_neither_order_nor_total() {
    let (with, without) = (sample(), sample());
    without.remove(id(1));
    let allowed: ConnectionSet = [2, 3].map(id).into_iter().collect();
    for text in ["create issue", "issue", "pull request code", "team", "delete"] {
        let (left, right) = (search(&with, text, &allowed), search(&without, text, &allowed));
        assert_eq!(
            (names(&left.hits), left.total, left.fits_well),
            (names(&right.hits), right.total, right.fits_well)
        );
    }
}

#[test]
fn the_filter_decides_about_each_match() {
    let index = sample();
    let allowed = everyone();
    let query =
        SearchQuery { text: "create issue", connection: None, allowed: &allowed, limit: 1, offset: 0 };
    let all = index.search(&query, None);
    let best = names(&all.hits)[0].clone();
    let not_best = |entry: EntryRef<'_>| format!("{}.{}", entry.slug(), entry.name()) != best;
    let rest = index.search(&query, Some(&not_best));
    assert_ne!(names(&rest.hits)[0], best);
    assert_eq!(index.search(&query, Some(&|_| false)).total, 0);
}

#[test]
fn pages_fit_together() {
    let index = Index::new();
    let tools: Vec<_> =
        (0..300).map(|n| tool(&format!("list_item_{n:03}"), "List the items of a shop.")).collect();
    put(&index, 1, "shop", &tools);
    let allowed: ConnectionSet = [id(1)].into_iter().collect();
    // Beside the number in a name, words that all tools share say nothing.
    for (text, total) in [("list items of the shop", 300), ("list_item_007", 1), ("", 300)] {
        let mut seen = HashSet::new();
        for offset in (0..).step_by(7) {
            let page = index
                .search(&SearchQuery { text, connection: None, allowed: &allowed, limit: 7, offset }, None);
            assert_eq!(page.total, total, "{text}");
            if page.hits.is_empty() {
                break;
            }
            assert!(
                names(&page.hits).into_iter().all(|name| seen.insert(name)),
                "{text}: a match came twice"
            );
        }
        assert_eq!(seen.len(), total, "{text}");
    }
}

#[test]
fn says_when_nothing_fits() {
    let index = sample();
    assert!(search(&index, "create an issue", &everyone()).fits_well);
    let odd = search(&index, "knit a woollen jumper with a zebra pattern for my code", &everyone());
    assert!(!odd.fits_well, "{:?}", names(&odd.hits));
    let none = search(&index, "xylophone", &everyone());
    assert!(!none.fits_well && none.hits.is_empty());
}

#[test]
fn one_connection_is_replaced_and_removed_alone() {
    let index = sample();
    put(&index, 2, "github", &[tool("fork", "Fork a repository.")]);
    assert_eq!((index.tools(None), index.tools(Some(id(2)))), (6, 1));
    assert_eq!(first(&index, "fork repository"), "github.fork");
    assert!(index.get(id(2), "create_issue").is_none());
    assert!(index.get(id(2), "fork").is_some() && index.get(id(9), "fork").is_none());
    assert!(index.remove(id(2)) && !index.remove(id(2)));
    assert!(
        names(&search(&index, "fork issue", &everyone()).hits).iter().all(|name| !name.starts_with("github"))
    );
    assert_eq!(
        names(&index.list(id(1))),
        ["linear.create_issue", "linear.delete_issue", "linear.list_issues"]
    );
}

#[test]
fn readers_and_a_writer_at_once() {
    let index = Arc::new(sample());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..300 {
                    // Linear stays throughout, whatever happens to its neighbours.
                    let outcome = search(&index, "list issues team", &everyone());
                    assert_eq!(names(&outcome.hits)[0], "linear.list_issues");
                }
            });
        }
        scope.spawn(|| {
            for round in 0..100 {
                put(&index, 2, "github", &[tool(&format!("list_issues_{round}"), "List.")]);
                index.remove(id(3));
            }
        });
    });
}

#[test]
fn a_reader_sees_one_definition_or_the_other_never_a_mixture() {
    let index = Arc::new(sample());
    let version = |letter: char| -> Vec<_> {
        (0..200)
            .map(|n| tool(&format!("{letter}_{n}"), &format!("Paint the wall number {n}{letter}.")))
            .collect()
    };
    let versions = [version('a'), version('b')];
    put(&index, 7, "painter", &versions[0]);
    let only: ConnectionSet = [id(7)].into_iter().collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..60 {
                put(&index, 7, "painter", &versions[round % 2]);
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let outcome = search(&index, "paint a wall", &only);
            assert_eq!(outcome.total, 200);
            let initials: HashSet<_> = names(&outcome.hits).iter().map(|name| name.as_bytes()[8]).collect();
            assert_eq!(initials.len(), 1, "{:?}", names(&outcome.hits));
        }
    });
}

#[test]
fn garbage_and_very_long_questions_are_answered() {
    let index = sample();
    let long = "create an issue about the weather in a repository, ".repeat(220);
    let cases = [
        long.as_str(),
        "\u{0}\u{1}\u{202e}\u{feff}",
        "𝕬𝖇𝖈 ﷽ \u{e0041}",
        "a.b.c.d__e",
        "'''''",
        "issue\u{301}",
        "ǅ ß İ",
        &"x".repeat(20_000),
        &"東".repeat(20_000),
    ];
    for text in cases {
        let outcome = search(&index, text, &everyone());
        assert!(outcome.total <= 8);
    }
    assert!(search(&index, &long, &everyone()).total > 0);
}
