use switchboard_domain::SeededRandom;

use super::*;

/// Key 00…1f, and its id as an independent implementation computes it.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ID: &str = "kek_2925vb1x23rsd7rzbjvx3xdjy0";

fn parse(text: &str) -> Result<Keyring, KeyringError> {
    Keyring::parse(&SecretValue::new(text))
}

fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(number))
}

fn data_key_id(number: u128) -> DataKeyId {
    DataKeyId::from_uuid(Uuid::from_u128(number))
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn known_answers() {
    let keyring = parse(KEY).unwrap();
    assert_eq!(keyring.primary().to_string(), ID);

    let wrapped = "0101491176b0f443c65a404142434445464748494a4b4c4d4e4f5051525354555657f4182753f4c55f31a7dd\
                   ad9583b14bbda28b9ff7276c65ad5208c77e35391daf0e0455c7f095e50e643eec05ebac64b5";
    let wrapped = WrappedKey { kek_id: keyring.primary(), bytes: from_hex(wrapped) };
    let key = keyring.unwrap(&wrapped, organization(1), data_key_id(2)).unwrap();
    assert_eq!(key.0.bytes().to_vec(), (32..64).collect::<Vec<u8>>());

    let sentinel = "0101491176b0f443c65a404142434445464748494a4b4c4d4e4f5051525354555657a74e6c04b3881b79ee86\
                    e39ec4f91cbff7d4ceb66a2927f3055fdd2e6c7d03e3739776073bf7e8fefdd7ad3a1a2b16cb8110bc69f9e6c6";
    assert!(keyring.check_sentinel(keyring.primary(), &from_hex(sentinel)));
}

#[test]
fn the_text_form() {
    let same = [
        KEY.to_owned(),
        KEY.trim_end_matches('=').to_owned(),
        format!("{ID} {KEY}\n"),
        format!("# a comment\n\n  {ID}\t{KEY}\r\n{KEY}\n"),
    ];
    for text in same {
        assert_eq!(parse(&text).unwrap().ids().map(|id| id.to_string()).collect::<Vec<_>>(), [ID], "{text}");
    }
    let standard = "++//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxw=";
    let url_safe = "--__AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxw";
    assert_eq!(parse(standard).unwrap().primary(), parse(url_safe).unwrap().primary());

    assert_eq!(parse(&format!("{standard},{ID} {KEY}")).unwrap().ids().count(), 2, "one line of a setting");

    let two = Keyring::generate(&SeededRandom::new(1)).with_new_primary(&SeededRandom::new(2));
    let read = parse(&two.to_text()).unwrap();
    assert_eq!(read.ids().collect::<Vec<_>>(), two.ids().collect::<Vec<_>>());
    assert_eq!((read.ids().count(), read.primary()), (2, two.primary()));
}

#[test]
fn a_text_that_is_no_keyring_is_refused_and_not_repeated() {
    let other = KEY.replace("AAEC", "AAED");
    let expected = ID.parse().unwrap();
    let cases = [
        ("", KeyringError::Empty),
        ("# only a comment\n", KeyringError::Empty),
        ("hunter2hunter2", KeyringError::NotAKey { line: 1 }),
        (&format!("{KEY},"), KeyringError::NotAKey { line: 1 }),
        (&KEY[..40], KeyringError::NotAKey { line: 1 }),
        (&format!("{KEY}\n{KEY}AAAA"), KeyringError::NotAKey { line: 2 }),
        (&format!("{KEY} {KEY}"), KeyringError::NotAKey { line: 1 }),
        (&format!("{ID} {KEY} more"), KeyringError::NotAKey { line: 1 }),
        (&format!("# c\n{ID} {other}"), KeyringError::Damaged { line: 2, expected }),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", KeyringError::Weak { line: 1 }),
        ("YWJjZGFiY2RhYmNkYWJjZGFiY2RhYmNkYWJjZGFiY2Q=", KeyringError::Weak { line: 1 }),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        assert_eq!(error, expected, "{text}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("AwQF") && !shown.contains("YWJj"), "{shown}");
    }
}

#[test]
fn a_wrapping_belongs_to_one_organization_one_id_and_one_key() {
    let random = SeededRandom::new(1);
    let keyring = Keyring::generate(&random);
    let key = DataKey::generate(&random);
    let wrapped = keyring.wrap(&key, organization(1), data_key_id(2), &random);
    assert!(keyring.unwrap(&wrapped, organization(1), data_key_id(2)).unwrap().0.same_as(&key.0));

    let refused =
        |wrapped: &WrappedKey, organization, id| keyring.unwrap(wrapped, organization, id).unwrap_err();
    assert_eq!(refused(&wrapped, organization(9), data_key_id(2)), UnwrapError::NotAuthentic);
    assert_eq!(refused(&wrapped, organization(1), data_key_id(9)), UnwrapError::NotAuthentic);
    let short = WrappedKey { bytes: vec![1, 1], ..wrapped.clone() };
    assert_eq!(refused(&short, organization(1), data_key_id(2)), UnwrapError::UnknownFormat);

    let other = Keyring::generate(&random);
    let unknown = other.unwrap(&wrapped, organization(1), data_key_id(2)).unwrap_err();
    assert_eq!(unknown, UnwrapError::UnknownKey(keyring.primary()));
    let relabelled = WrappedKey { kek_id: other.primary(), bytes: wrapped.bytes };
    assert_eq!(
        other.unwrap(&relabelled, organization(1), data_key_id(2)).unwrap_err(),
        UnwrapError::NotAuthentic
    );
}

/// A wrapping and a secret never pass for each other, even under one key.
#[test]
fn a_wrapping_does_not_open_as_a_sentinel() {
    let random = SeededRandom::new(1);
    let keyring = Keyring::generate(&random);
    let wrapped = keyring.wrap(&DataKey::generate(&random), organization(1), data_key_id(2), &random);
    assert!(!keyring.check_sentinel(keyring.primary(), &wrapped.bytes));
    let sentinel = keyring.sentinel(keyring.primary(), &random).unwrap();
    let as_wrapping = WrappedKey { kek_id: keyring.primary(), bytes: sentinel };
    assert!(keyring.unwrap(&as_wrapping, organization(1), data_key_id(2)).is_err());
}

#[test]
fn rotation_can_stop_anywhere_and_start_again() {
    let random = SeededRandom::new(1);
    let first = Keyring::generate(&random);
    let old_id = first.primary();
    let keys: Vec<_> = (0..20).map(|_| DataKey::generate(&random)).collect();
    let wrap = |(number, key)| first.wrap(key, organization(number), data_key_id(number), &random);
    let mut stored: Vec<_> = (0u128..).zip(&keys).map(wrap).collect();

    let rotated = first.with_new_primary(&random);
    for stopped_after in [3, 11, 20] {
        for (number, row) in (0u128..).zip(&mut stored).take(stopped_after) {
            if row.kek_id != rotated.primary() {
                *row = rotated.rewrap(row, organization(number), data_key_id(number), &random).unwrap();
            }
        }
        for ((number, row), key) in (0u128..).zip(&stored).zip(&keys) {
            let opened = rotated.unwrap(row, organization(number), data_key_id(number)).unwrap();
            assert!(opened.0.same_as(&key.0), "row {number} after {stopped_after}");
        }
    }
    let done = rotated.without(old_id);
    assert!(!done.contains(old_id));
    for ((number, row), key) in (0u128..).zip(&stored).zip(&keys) {
        assert!(done.unwrap(row, organization(number), data_key_id(number)).unwrap().0.same_as(&key.0));
    }
}

#[test]
fn rewrap_of_what_does_not_open_gives_nothing_to_store() {
    let random = SeededRandom::new(1);
    let keyring = Keyring::generate(&random);
    let mut wrapped = keyring.wrap(&DataKey::generate(&random), organization(1), data_key_id(2), &random);
    *wrapped.bytes.last_mut().unwrap() ^= 1;
    assert_eq!(
        keyring.rewrap(&wrapped, organization(1), data_key_id(2), &random).unwrap_err(),
        UnwrapError::NotAuthentic
    );
}

#[test]
fn the_primary_stays() {
    let keyring = Keyring::generate(&SeededRandom::new(1));
    let id = keyring.primary();
    assert!(keyring.without(id).contains(id));
}

#[test]
fn nothing_prints_a_key() {
    let keyring = parse(KEY).unwrap();
    let wrapped = keyring.wrap(
        &DataKey::generate(&SeededRandom::new(1)),
        organization(1),
        data_key_id(2),
        &SeededRandom::new(2),
    );
    let shown = format!("{keyring:?} {wrapped:?}");
    assert!(shown.contains(ID), "ids may be shown: {shown}");
    for leak in ["AwQF", "3, 4, 5", "0304", "030405"] {
        assert!(!shown.contains(leak), "{leak} in {shown}");
    }
}
