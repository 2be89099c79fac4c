//! The bench measures its own upstream and yardstick: what it prints has the promised shape, and calls that
//! fail are not counted as calls.

use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "the test starts the binary it tests")]
fn calls(arguments: &[&str]) -> (Value, bool) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_switchboard-bench"))
        .args([
            "calls",
            "--without-switchboard",
            "--seconds",
            "2",
            "--warm-up",
            "0.1",
            "--clients",
            "2",
            "--json",
        ])
        .args(arguments)
        .output()
        .expect("the bench starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (serde_json::from_str(last).expect("a JSON object as the last line"), output.status.success())
}

fn assert_measured(figures: &Value) {
    for figure in ["calls_per_second", "p50_ms", "p99_ms", "rss_mb"] {
        assert!(figures[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {figures}");
    }
    assert!(figures["cpu_us_per_call"].is_number(), "{figures}");
    assert_eq!(figures["errors"], 0);
}

#[test]
fn both_eras_are_measured_without_errors() {
    for era in ["modern", "legacy"] {
        let (report, succeeded) = calls(&["--era", era]);
        assert!(succeeded);
        assert_eq!(report["clients"], 2);
        assert_measured(&report["direct"]);
        assert_measured(&report["yardstick"]);
        assert_eq!(report["switchboard"], Value::Null);
    }
}

#[test]
fn lists_and_large_answers_come_whole() {
    let (report, succeeded) = calls(&["--list"]);
    assert!(succeeded, "{report}");
    assert_measured(&report["yardstick"]);
    let (report, succeeded) = calls(&["--result-bytes", "1000000"]);
    assert!(succeeded, "{report}");
    assert_measured(&report["yardstick"]);
}

#[test]
fn a_peer_that_is_not_there_has_no_figures() {
    let (report, succeeded) = calls(&["--peer", "gone=http://127.0.0.1:9/mcp"]);
    assert!(succeeded);
    assert_eq!(report["peers"]["gone"], Value::Null);
}
