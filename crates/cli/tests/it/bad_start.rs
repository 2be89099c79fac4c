//! What goes wrong at a start: one clear message, the next step, nothing lost.

use sqlx::{Connection as _, SqliteConnection};

use crate::program::{Place, Server};

#[test]
fn a_taken_port_is_named_before_anything_is_changed() {
    let place = Place::sqlite();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let ended = place.run(&["serve", "--listen", &address]);
    ended.fails_with(1, &[&format!("Can't listen on {address}"), "--listen 127.0.0.1:"]);
    assert!(!place.data().join("switchboard.db").exists());
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let place = Place::sqlite();
    std::fs::write(place.path("file"), "").unwrap();
    let ended = place.run(&["serve", "--data-dir", "file/data"]);
    ended.fails_with(1, &["The data directory file/data can't be used", "--data-dir"]);
}

/// Nobody, not even root, makes a directory there.
#[test]
#[cfg(target_os = "linux")]
fn a_place_where_this_user_may_not_write_is_named_with_what_to_do() {
    for place in ["/sys/switchboard", "/sys/kernel"] {
        let ended = Place::sqlite().run(&["serve", "--data-dir", place]);
        let parts = [&format!("The data directory {place} can't be used"), "Make it writable", "--data-dir"];
        ended.fails_with(1, &parts);
    }
}

#[test]
fn a_damaged_database_stops_the_start_and_says_what_to_do() {
    let place = Place::sqlite();
    place.create_owner();
    let path = place.data().join("switchboard.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // The first page says what the file is; the rest is gone.
    bytes[8192..].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    for command in
        [&["serve", "--listen", "127.0.0.1:0"][..], &["admin", "create-organization", "--slug", "x"]]
    {
        place.run(command).fails_with(1, &["switchboard.db is damaged", "restore the last backup"]);
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "what is left may still be rescued");
}

#[test]
fn a_corrupt_database_is_not_touched() {
    let place = Place::sqlite();
    place.create_owner();
    let path = place.data().join("switchboard.db");
    let garbage = vec![b'x'; 64 * 1024];
    std::fs::write(&path, &garbage).unwrap();
    let _ = std::fs::remove_file(place.data().join("switchboard.db-wal"));
    place
        .run(&["serve", "--listen", "127.0.0.1:0"])
        .fails_with(1, &["switchboard.db is not an SQLite database", "backup"]);
    assert_eq!(std::fs::read(&path).unwrap(), garbage, "what is left may still be rescued");
}

#[test]
fn the_network_is_not_served_without_tls() {
    let place = Place::sqlite();
    let ended = place.run(&["serve", "--listen", "0.0.0.0:0"]);
    ended.fails_with(2, &["--public-url https://", "--insecure-http"]);
    assert!(!place.data().exists());
}

#[test]
fn a_missing_or_wrong_key_stops_the_start_and_no_new_one_is_made() {
    for place in Place::each() {
        place.create_owner();
        let key = place.data().join("secrets/master.key");
        let kept = place.path("kept.key");
        std::fs::rename(&key, &kept).unwrap();
        let start = ["serve", "--listen", "127.0.0.1:0"];
        place.run(&start).fails_with(1, &["there is no master key", "Restore", "No new key was made"]);
        assert!(!key.exists());
        let other = place
            .run_with(&start, &[("SWITCHBOARD_MASTER_KEY", "kHmVY5PNDHvWqBz5tSDXHRnYQ3xUpQy4ySWuJq4mT2I=")]);
        other.fails_with(1, &["wrong master key", "Restore"]);
        std::fs::rename(&kept, &key).unwrap();
        assert_eq!(place.serve(&[]).stop().0, Some(0), "with its key it starts as before");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_the_release_to_install() {
    let place = Place::sqlite();
    place.create_owner();
    let url = format!("sqlite://{}", place.data().join("switchboard.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let newer = "INSERT INTO schema_migration (version, name, checksum, release, applied_at) VALUES (999, 'later', 'x', '9.9.9', 1)";
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    for command in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["migrate"],
        &["admin", "create-organization", "--slug", "x"],
    ] {
        place.run(command).fails_with(1, &["schema version 999", "Install Switchboard 9.9.9"]);
    }
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let place = Place::sqlite();
    let _first: Server = place.serve(&[]);
    let second = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    second.fails_with(1, &["Another Switchboard (process ", "PostgreSQL"]);
}

#[test]
fn migrations_can_be_kept_apart() {
    for place in Place::each() {
        let start = ["serve", "--no-migrate", "--listen", "127.0.0.1:0"];
        place.run(&start).fails_with(1, &["--no-migrate", "switchboard migrate"]);
        assert!(place.run(&["migrate", "--status"]).ok().contains("to apply: 0001_initial"));
        place.run(&["migrate"]).ok();
        assert!(place.run(&["migrate"]).ok().contains("up to date"));
        assert_eq!(place.serve(&["--no-migrate"]).stop().0, Some(0));
    }
}
