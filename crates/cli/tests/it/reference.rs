//! Generated pages are what the program says of itself. `UPDATE=1` writes them.

use crate::program::Place;

fn compare(page: &str) {
    let place = Place::sqlite();
    let generated = place.run(&["reference", page]).ok();
    let path = format!("{}/../../docs/reference/{page}.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, &generated).expect("the page is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == generated,
        "docs/reference/{page}.md is not what the program says: run this test with UPDATE=1"
    );
}

#[test]
fn the_configuration_reference_is_current() {
    compare("configuration");
}

#[test]
fn the_command_line_reference_is_current() {
    compare("cli");
}

#[test]
fn short_help_fits_a_screen_and_begins_with_examples() {
    let place = Place::sqlite();
    let commands: &[&[&str]] = &[
        &[],
        &["serve"],
        &["demo"],
        &["connection"],
        &["connection", "add"],
        &["connection", "list"],
        &["grant"],
        &["grant", "set"],
        &["toolkit"],
        &["toolkit", "create"],
        &["toolkit", "update"],
        &["policy"],
        &["policy", "set"],
        &["member"],
        &["identity-provider"],
        &["identity-provider", "add"],
        &["team"],
        &["team", "members"],
        &["audit"],
        &["audit", "list"],
        &["token"],
        &["token", "create"],
        &["search"],
        &["call"],
        &["admin"],
        &["keys"],
        &["backup"],
        &["restore"],
        &["migrate"],
        &["doctor"],
        &["config"],
        &["healthcheck"],
        &["completions"],
    ];
    for command in commands {
        let help = place.run(&[command, &["-h"][..]].concat()).ok();
        assert!(help.lines().count() <= 26, "{command:?}: {} lines\n{help}", help.lines().count());
        // A leaf of a group is introduced by its group's examples.
        assert!(command.len() == 2 || help.starts_with("Examples\n"), "{command:?}\n{help}");
        let examples = help.lines().skip(1).take(3).filter(|line| line.starts_with("  ")).count();
        assert!(command.len() == 2 || examples == 3, "{command:?}: {examples} examples");
    }
}

#[test]
fn completions_know_the_commands() {
    let place = Place::sqlite();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).ok();
        assert!(script.contains("connection") && script.contains("healthcheck"), "{shell}");
    }
}

#[test]
fn the_version_and_wrong_usage_have_their_exit_codes() {
    let place = Place::sqlite();
    assert_eq!(place.run(&["--version"]).ok().trim(), format!("switchboard {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(place.run(&["sreve"]).code, Some(2));
    assert_eq!(place.run(&[]).code, Some(2));
    place.run(&["search", "x"]).fails_with(2, &["SWITCHBOARD_TOKEN", "create-token"]);
    let document = place.run(&["openapi"]).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}
