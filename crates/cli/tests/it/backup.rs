//! A backup is taken while serving, checked, and put in place.

use crate::program::{Place, mode};

#[test]
fn a_backup_restores_with_its_key() {
    let place = Place::sqlite();
    let server = place.serve(&[]);
    place.create_owner();
    let token = place.create_token("mcp:read");
    place.run(&["backup", "copy.db", "--with-keys", "copy.key"]).ok();
    assert_eq!((mode(&place.path("copy.db")), mode(&place.path("copy.key"))), (0o600, 0o600));
    place.run(&["backup", "copy.db"]).fails_with(1, &["a file is there already"]);
    assert!(place.run(&["restore", "copy.db", "--dry-run"]).ok().contains("the keys fit"));
    place.run(&["restore", "copy.db"]).fails_with(1, &["Another Switchboard"]);
    assert_eq!(server.stop().0, Some(0));
    place.run(&["restore", "copy.db"]).fails_with(1, &["Move it away"]);

    // On another machine: the key first, then the database.
    let missing = ["restore", "copy.db", "--data-dir", "elsewhere"];
    place.run(&missing).fails_with(1, &["there is no master key"]);
    std::fs::create_dir_all(place.path("elsewhere/secrets")).unwrap();
    std::fs::copy(place.path("copy.key"), place.path("elsewhere/secrets/master.key")).unwrap();
    place.run(&missing).ok();
    let server = place.serve(&["--data-dir", "elsewhere"]);
    server.client(&place, &token, &["search", ""]).ok();
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let place = Place::sqlite();
    place.create_owner();
    place.run(&["backup", "copy.db"]).ok();
    let mut bytes = std::fs::read(place.path("copy.db")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(place.path("damaged.db"), bytes).unwrap();
    std::fs::write(place.path("other.db"), "not a database").unwrap();
    place.run(&["restore", "damaged.db", "--dry-run"]).fails_with(1, &["damaged"]);
    place.run(&["restore", "other.db", "--dry-run"]).fails_with(1, &["not an SQLite database"]);
    let left: Vec<_> =
        std::fs::read_dir(place.data()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".restor")), "{left:?}");
}

#[test]
fn doctor_and_healthcheck_see_what_is_there() {
    let place = Place::sqlite();
    place.create_owner();
    let server = place.serve(&[]);
    let listen = server.url.trim_start_matches("http://").to_owned();
    place.run(&["healthcheck", "--listen", &listen]).ok();
    let report = place.run(&["doctor", "--json", "--listen", &listen, "--public-url", &server.url]).json();
    let result = |check: &str| {
        let found = report["checks"].as_array().unwrap().iter().find(|row| row["check"] == check);
        found.unwrap_or_else(|| panic!("{check} in {report}"))["result"].clone()
    };
    for check in ["settings", "data", "database", "schema", "keys", "owner", "server", "public", "metadata"] {
        assert_eq!(result(check), "ok", "{check}: {report}");
    }
    assert_eq!(server.stop().0, Some(0));
    place.run(&["healthcheck", "--listen", &listen]).fails_with(1, &["refused"]);
    std::fs::rename(place.data().join("secrets/master.key"), place.path("kept")).unwrap();
    let ill = place.run(&["doctor", "--listen", &listen]);
    assert_eq!(ill.code, Some(1));
    assert!(
        ill.stdout.lines().any(|line| line.starts_with("fail  keys") && line.contains("Restore")),
        "{ill:?}"
    );
}
