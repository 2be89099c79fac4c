use proptest::prelude::*;
use switchboard_domain::SeededRandom;

use super::*;
use crate::key::SecretKey;

fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(number))
}

fn context() -> SealContext {
    SealContext {
        organization: organization(1),
        table: "credential",
        row: Uuid::from_u128(2),
        owner: None,
        field: "secret",
        version: 7,
    }
}

fn data_key(seed: u64) -> DataKey {
    DataKey::generate(&SeededRandom::new(seed))
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Made by an independent implementation of the format: key 00…1f, nonce 40…57. They must open for ever.
#[test]
fn known_answers() {
    let key = DataKey(SecretKey::from_slice(&(0..32).collect::<Vec<u8>>()).unwrap());
    let shared = "0101491176b0f443c65a404142434445464748494a4b4c4d4e4f5051525354555657\
                  a752281cb9961c3bec95e9dfdde52a7596bde799e6da00ed5827bb5df311";
    let opened = open(&key, &context(), &Sealed(from_hex(shared))).unwrap();
    assert_eq!(opened.as_slice(), b"sk-live-canary");

    let member = "0101491176b0f443c65a404142434445464748494a4b4c4d4e4f5051525354555657\
                  a965b00f06fef8159a8cc834310fd724";
    let of_member = SealContext { owner: Some(Uuid::from_u128(3)), ..context() };
    assert_eq!(open(&key, &of_member, &Sealed(from_hex(member))).unwrap().as_slice(), b"");
    assert_eq!(key.digest().to_string(), "491176b0f443c65a");
}

#[test]
fn plaintext_and_unknown_formats_never_open() {
    let key = data_key(1);
    let good = seal(&key, &context(), b"secret", &SeededRandom::new(2)).0;
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let long_plaintext = b"ghp_this_is_a_token_that_somebody_wrote_by_hand_into_the_row_as_it_is".to_vec();
    for bytes in [vec![], b"sk-live-1".to_vec(), long_plaintext, good[..49].to_vec(), with(0, 2), with(1, 0)]
    {
        assert_eq!(open(&key, &context(), &Sealed(bytes)).unwrap_err(), OpenError::UnknownFormat);
    }
    assert!(good.len() == 50 + 6 && open(&key, &context(), &Sealed(good)).is_ok());
}

#[test]
fn another_key_is_named() {
    let (one, two) = (data_key(1), data_key(2));
    let sealed = seal(&one, &context(), b"secret", &SeededRandom::new(3));
    assert_eq!(open(&two, &context(), &sealed).unwrap_err(), OpenError::OtherKey { found: one.digest() });
    assert!(sealed.is_under(&one) && !sealed.is_under(&two));

    let mut relabelled = sealed.0;
    relabelled[2..10].copy_from_slice(&two.digest().0);
    assert_eq!(open(&two, &context(), &Sealed(relabelled)).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn reseal_moves_to_the_new_key_and_nothing_else() {
    let (old, new, random) = (data_key(1), data_key(2), SeededRandom::new(3));
    let sealed = seal(&old, &context(), b"secret", &random);
    let resealed = reseal(&old, &new, &context(), &sealed, &random).unwrap();
    assert_eq!(open(&new, &context(), &resealed).unwrap().as_slice(), b"secret");
    assert!(open(&old, &context(), &resealed).is_err());
    assert_eq!(open(&old, &context(), &sealed).unwrap().as_slice(), b"secret", "until it is replaced");

    // A second process, or the same after a restart, sees that the row is done.
    assert!(resealed.is_under(&new));
    assert!(matches!(reseal(&old, &new, &context(), &resealed, &random), Err(OpenError::OtherKey { .. })));
    // What does not open is not replaced.
    let elsewhere = SealContext { row: Uuid::from_u128(9), ..context() };
    assert_eq!(reseal(&old, &new, &elsewhere, &sealed, &random).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn nothing_prints_a_secret() {
    let key = DataKey(SecretKey::from_slice(&[b'K'; 32]).unwrap());
    let sealed = seal(&key, &context(), b"canary", &SeededRandom::new(1));
    let handwritten = Sealed(b"canary".to_vec());
    let error = open(&key, &context(), &handwritten).unwrap_err();
    let shown = format!("{key:?} {sealed:?} {handwritten:?} {error:?} {error}");
    for leak in ["canary", "KKKK", "75, 75", "4b4b", "99, 97"] {
        assert!(!shown.contains(leak), "{leak} in {shown}");
    }
    assert!(shown.contains("Sealed(6 bytes, unknown format)"), "{shown}");
}

/// Contexts that differ from [`context`] in one field each.
fn other_contexts() -> [SealContext; 8] {
    let base = context();
    [
        SealContext { organization: organization(9), ..base },
        SealContext { table: "credentials", ..base },
        SealContext { row: Uuid::from_u128(9), ..base },
        SealContext { owner: Some(Uuid::nil()), ..base },
        SealContext { owner: Some(Uuid::from_u128(9)), ..base },
        SealContext { field: "secre", ..base },
        SealContext { version: 6, ..base },
        SealContext { version: -7, ..base },
    ]
}

proptest! {
    #[test]
    fn what_was_sealed_opens(secret: Vec<u8>, seed: u64) {
        let key = data_key(seed);
        let sealed = seal(&key, &context(), &secret, &SeededRandom::new(seed ^ 1));
        prop_assert_eq!(sealed.0.len(), secret.len() + 50);
        prop_assert_eq!(open(&key, &context(), &sealed).unwrap().to_vec(), secret);
    }

    #[test]
    fn a_flipped_bit_does_not_open(secret in prop::collection::vec(any::<u8>(), 0..64), at: prop::sample::Index) {
        let key = data_key(1);
        let mut sealed = seal(&key, &context(), &secret, &SeededRandom::new(2));
        let bit = at.index(sealed.0.len() * 8);
        sealed.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(open(&key, &context(), &sealed).is_err());
    }

    #[test]
    fn cut_or_extended_bytes_do_not_open(secret: Vec<u8>, cut in 1usize..60, extra in prop::collection::vec(any::<u8>(), 1..60)) {
        let key = data_key(1);
        let sealed = seal(&key, &context(), &secret, &SeededRandom::new(2)).0;
        let kept = sealed.len().saturating_sub(cut);
        prop_assert!(open(&key, &context(), &Sealed(sealed[..kept].to_vec())).is_err());
        prop_assert!(open(&key, &context(), &Sealed([sealed, extra].concat())).is_err());
    }

    #[test]
    fn another_place_does_not_open(secret: Vec<u8>, which in 0usize..8) {
        let key = data_key(1);
        let sealed = seal(&key, &context(), &secret, &SeededRandom::new(2));
        prop_assert_eq!(open(&key, &other_contexts()[which], &sealed).unwrap_err(), OpenError::NotAuthentic);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
        prop_assert!(open(&data_key(1), &context(), &Sealed(bytes)).is_err());
    }
}
