use std::os::unix::fs::PermissionsExt as _;

use switchboard_domain::{SeededRandom, SystemRandom};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn ids(keyring: &Keyring) -> Vec<KeyEncryptionKeyId> {
    keyring.ids().collect()
}

#[test]
fn a_first_key_is_the_owners_alone_and_reads_back() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    assert!(load(&path).unwrap().is_none(), "no file, no directory");

    let made = generate(&path, &SeededRandom::new(1)).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(ids(&load(&path).unwrap().unwrap()), ids(&made));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# Switchboard master keys. BACK THIS FILE UP"), "{text}");
}

#[test]
fn an_existing_key_is_never_replaced() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    let made = generate(&path, &SeededRandom::new(1)).unwrap();
    assert!(matches!(generate(&path, &SeededRandom::new(2)), Err(KeyError::Exists { .. })));
    assert_eq!(ids(&load(&path).unwrap().unwrap()), ids(&made));
}

#[test]
fn of_many_first_starts_one_makes_the_key() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| generate(&path, &SystemRandom))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let made: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(ids(&load(&path).unwrap().unwrap()), ids(made[0]));
}

#[test]
fn a_file_or_directory_open_to_others_is_refused_with_the_command_that_closes_it() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    generate(&path, &SeededRandom::new(1)).unwrap();
    for bad in [0o644, 0o640, 0o604, 0o660, 0o610] {
        set_mode(&path, bad);
        let message = load(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("mode {bad:04o}")), "{message}");
        assert!(message.contains(&format!("chmod 600 {}", path.display())), "{message}");
    }
    set_mode(&path, 0o400);
    assert!(load(&path).is_ok(), "read-only for its owner is fine");

    let directory = path.parent().unwrap();
    set_mode(directory, 0o777);
    let message = load(&path).unwrap_err().to_string();
    assert!(message.contains(&format!("chmod 700 {}", directory.display())), "{message}");
    set_mode(directory, 0o700);
    assert!(load(&path).is_ok());
}

#[test]
fn a_damaged_file_is_named_and_its_text_is_not_shown() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    generate(&path, &SeededRandom::new(1)).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let secret = whole.trim_end().rsplit_once(' ').unwrap().1.to_owned();
    let other = Keyring::generate(&SeededRandom::new(2)).to_text();
    let swapped = whole.replace(&secret, other.trim_end().rsplit_once(' ').unwrap().1);
    for damaged in [&whole[..whole.len() - 9], "", "# nothing\n", "master key\n", &swapped] {
        fs::write(&path, damaged).unwrap();
        let error = load(&path).unwrap_err();
        assert!(matches!(error, KeyError::Corrupt { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("master.key") && !shown.contains(&secret[..12]), "{shown}");
    }
    fs::write(&path, vec![b'#'; 65 * 1024]).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("65536 bytes"));
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(load(&path), Err(KeyError::Unreadable { .. })));
}

#[test]
fn what_is_no_file_is_unreadable() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    fs::create_dir_all(&path).unwrap();
    assert!(matches!(load(&path), Err(KeyError::Unreadable { .. })));
}

#[test]
fn rotation_adds_a_primary_and_removes_the_old_key_last() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    let first = generate(&path, &SeededRandom::new(1)).unwrap().primary();
    let second = add_primary(&path, &SeededRandom::new(2)).unwrap().primary();
    assert_eq!(ids(&load(&path).unwrap().unwrap()), [second, first]);
    assert_eq!(mode(&path), 0o600);

    assert!(matches!(remove(&path, second), Err(KeyError::InUse(id)) if id == second));
    remove(&path, first).unwrap();
    assert_eq!(ids(&load(&path).unwrap().unwrap()), [second]);

    let names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the key file and its lock, nothing half-written: {names:?}");
}

/// A process that died between writing and renaming leaves a file beside; the key file is whole.
#[test]
fn a_left_over_from_a_crash_does_no_harm() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    let first = generate(&path, &SeededRandom::new(1)).unwrap().primary();
    fs::write(path.with_extension("new"), "half a key").unwrap();
    set_mode(&path.with_extension("new"), 0o644);
    assert_eq!(ids(&load(&path).unwrap().unwrap()), [first]);
    add_primary(&path, &SeededRandom::new(2)).unwrap();
    assert_eq!(load(&path).unwrap().unwrap().ids().count(), 2);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn two_rotations_at_once_lose_no_key() {
    let data = tempfile::tempdir().unwrap();
    let path = path_in(data.path());
    generate(&path, &SystemRandom).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| add_primary(&path, &SystemRandom).unwrap());
        }
    });
    assert_eq!(load(&path).unwrap().unwrap().ids().count(), 9);
}
