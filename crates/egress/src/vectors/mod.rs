//! The project's SSRF vectors (`testdata/security`, whose README is their contract): every line and every
//! case. Public addresses cannot be dialled in a test, so the dialler is replaced by one that writes down
//! where a connection would have gone and leads it to a local server.

#[expect(dead_code, reason = "shared with the integration tests, which use more of it")]
#[path = "../../tests/it/support.rs"]
mod support;

mod cases;
mod world;

use std::path::Path;

use support::closed_egress;

fn vectors(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/security");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

/// The README: split on line feeds only.
fn lines(text: &str) -> Vec<&str> {
    text.split('\n').filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_blocked_url_is_refused() {
    let egress = closed_egress();
    let text = vectors("ssrf_block.txt");
    let passed: Vec<_> = lines(&text).into_iter().filter(|url| egress.check_url(url).is_ok()).collect();
    assert!(passed.is_empty(), "{passed:#?}");
    assert_eq!(lines(&text).len(), 158);
}

#[test]
fn every_blocked_url_with_its_reason_is_refused() {
    let egress = closed_egress();
    let text = vectors("ssrf_block.reasons.tsv");
    let rows = &lines(&text)[1..];
    assert_eq!(rows.len(), 158);
    for row in rows {
        let [category, url, why] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row:?}") };
        assert!(egress.check_url(url).is_err(), "{category}: {url:?} ({why})");
    }
}

#[test]
fn every_allowed_url_is_accepted() {
    let egress = closed_egress();
    let text = vectors("ssrf_allow.txt");
    let refused: Vec<_> = lines(&text).into_iter().filter(|url| egress.check_url(url).is_err()).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert_eq!(lines(&text).len(), 30);
}

/// Whatever is refused, the caller sees the same words.
#[test]
fn refusals_look_alike() {
    let egress = closed_egress();
    let text = vectors("ssrf_block.txt");
    let mut messages: Vec<_> = lines(&text)
        .into_iter()
        .map(|url| {
            let refused = egress.check_url(url).unwrap_err();
            format!("{refused} {refused:?}")
        })
        .collect();
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:#?}");
}
