//! Where values come from, and what a typing error costs: a message.

use crate::program::Place;

#[test]
fn a_misspelt_key_names_file_line_and_what_was_meant() {
    let place = Place::sqlite();
    std::fs::write(place.path("switchboard.toml"), "[server]\n\nlistn = \"127.0.0.1:1\"\n").unwrap();
    for command in [&["serve"][..], &["config", "check"], &["admin", "setup-link"]] {
        place
            .run(command)
            .fails_with(2, &["switchboard.toml:3", "`server.listn`", "did you mean `server.listen`?"]);
    }
    assert!(!place.data().exists(), "nothing was started");
    let verdict = place.run(&["config", "check", "--json"]);
    assert_eq!(verdict.code, Some(2));
    let verdict: serde_json::Value = serde_json::from_str(&verdict.stdout).unwrap();
    assert_eq!(verdict["ok"], false);
}

#[test]
fn show_tells_where_each_value_comes_from_and_no_secret() {
    let place = Place::sqlite();
    std::fs::write(
        place.path("switchboard.toml"),
        "[server]\ndrain = \"5s\"\n[telemetry]\nmetrics_token = \"hush-hush\"\n",
    )
    .unwrap();
    let environment = [("SWITCHBOARD_LOG", "debug"), ("SWITCHBOARD_MASTER_KEY", "hush-hush-too")];
    let shown = place.run_with(&["config", "show", "--listen", "127.0.0.1:7"], &environment).ok();
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("server.listen ").ends_with("--listen"), "{shown}");
    assert!(line("server.drain ").ends_with("switchboard.toml:2"), "{shown}");
    assert!(line("log.filter ").ends_with("SWITCHBOARD_LOG"), "{shown}");
    assert!(line("log.format ").ends_with("default"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    let json = place.run_with(&["config", "show", "--json"], &environment).ok();
    assert!(!json.contains("hush") && json.contains("(secret)"));
}

#[test]
fn a_misspelt_variable_is_a_remark() {
    let place = Place::sqlite();
    let checked = place
        .run_with(&["config", "check"], &[("SWITCHBOARD_PUBLIC_UR", "x"), ("SWITCHBOARD_SERVICE_HOST", "y")]);
    assert!(checked.stderr.contains("did you mean SWITCHBOARD_PUBLIC_URL?"), "{checked:?}");
    assert!(!checked.stderr.contains("SERVICE_HOST"), "{checked:?}");
    checked.ok();
}

#[test]
fn the_example_can_be_used() {
    let place = Place::sqlite();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/switchboard.toml");
    place.run(&["config", "check", "--config", example]).ok();
    // What is commented out is meant to be usable as well.
    let text = std::fs::read_to_string(example).unwrap();
    let all: Vec<String> =
        text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned()).collect();
    assert!(all.len() > 20);
    std::fs::write(place.path("all.toml"), all.join("\n")).unwrap();
    std::fs::write(place.path("database-url"), "postgres://u:p@localhost/switchboard").unwrap();
    place.run(&["config", "check", "--config", "all.toml"]).ok();
}
