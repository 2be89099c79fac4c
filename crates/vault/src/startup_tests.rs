use switchboard_domain::SeededRandom;

use super::*;

fn keyring(seed: u64) -> Keyring {
    Keyring::generate(&SeededRandom::new(seed))
}

fn stored(keyring: &Keyring, state: KekState) -> StoredKek {
    let id = keyring.primary();
    StoredKek { id, sentinel: keyring.sentinel(id, &SeededRandom::new(99)).unwrap(), state }
}

fn ready(startup: Result<Startup, KeyError>) -> StartupKeys {
    match startup {
        Ok(Startup::Ready(keys)) => keys,
        other => panic!("expected keys, got {other:?}"),
    }
}

#[test]
fn nothing_sealed_and_no_key_is_a_first_start() {
    assert!(matches!(startup_check(None, &[], false), Ok(Startup::FirstStart)));
}

#[test]
fn the_right_key_starts() {
    let rows = [stored(&keyring(1), KekState::Active)];
    let keys = ready(startup_check(Some(keyring(1)), &rows, true));
    assert_eq!(keys.keyring.primary(), rows[0].id);
    assert!(keys.to_record.is_empty() && keys.to_retire.is_empty());
}

#[test]
fn a_missing_key_stops_the_start_and_no_new_one_is_made() {
    let rows = [stored(&keyring(1), KekState::Active)];
    let error = startup_check(None, &rows, true).unwrap_err();
    assert!(matches!(&error, KeyError::Missing { needed } if *needed == [rows[0].id]));
    let message = error.to_string();
    assert!(
        message.contains(&rows[0].id.to_string()) && message.contains("Restore `secrets/master.key`"),
        "{message}"
    );
}

#[test]
fn a_wrong_key_stops_the_start() {
    let rows = [stored(&keyring(1), KekState::Active)];
    let error = startup_check(Some(keyring(2)), &rows, true).unwrap_err();
    let KeyError::Wrong { needed, given } = &error else { panic!("{error:?}") };
    assert_eq!(
        (needed.as_slice(), given.as_slice()),
        ([rows[0].id].as_slice(), [keyring(2).primary()].as_slice())
    );
    let message = error.to_string();
    assert!(message.contains(&needed[0].to_string()) && message.contains(&given[0].to_string()), "{message}");
}

#[test]
fn a_key_that_data_keys_still_need_may_not_be_missing() {
    let (old, new) = (keyring(1), keyring(2));
    let rows = [stored(&old, KekState::Active), stored(&new, KekState::Active)];
    assert!(matches!(startup_check(Some(keyring(2)), &rows, true), Err(KeyError::Wrong { .. })));
    let rows = [stored(&old, KekState::Retired), stored(&new, KekState::Active)];
    ready(startup_check(Some(keyring(2)), &rows, true));
}

#[test]
fn a_sentinel_that_does_not_open_stops_the_start() {
    let mut row = stored(&keyring(1), KekState::Active);
    row.sentinel = stored(&keyring(2), KekState::Active).sentinel;
    assert!(matches!(
        startup_check(Some(keyring(1)), std::slice::from_ref(&row), true),
        Err(KeyError::Sentinel { id }) if id == row.id
    ));
    row.sentinel = b"plaintext".to_vec();
    assert!(matches!(startup_check(Some(keyring(1)), &[row], false), Err(KeyError::Sentinel { .. })));
}

#[test]
fn sealed_rows_without_a_record_of_their_key_stop_the_start() {
    assert!(matches!(startup_check(None, &[], true), Err(KeyError::Unrecorded)));
    assert!(matches!(startup_check(Some(keyring(1)), &[], true), Err(KeyError::Unrecorded)));
    let retired = [stored(&keyring(1), KekState::Retired)];
    assert!(matches!(startup_check(Some(keyring(1)), &retired, true), Err(KeyError::Unrecorded)));
}

#[test]
fn a_new_key_is_to_be_recorded_and_a_useless_row_to_be_retired() {
    let rotated = keyring(1).with_new_primary(&SeededRandom::new(2));
    let new = rotated.primary();
    let keys = ready(startup_check(Some(rotated), &[stored(&keyring(1), KekState::Active)], true));
    assert_eq!((keys.keyring.primary(), keys.to_record.as_slice()), (new, [new].as_slice()));

    let lost = stored(&keyring(3), KekState::Active);
    let keys = ready(startup_check(Some(keyring(1)), std::slice::from_ref(&lost), false));
    assert_eq!(keys.to_retire, [lost.id]);
}
