use switchboard_domain::SeededRandom;

use super::*;

fn secret(text: &str) -> SecretValue {
    SecretValue::new(text)
}

#[test]
fn a_password_verifies_and_no_other_does() {
    let random = SeededRandom::new(1);
    let password = secret("correct horse battery");
    let hash = hash_password(&password, &random).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(!hash.contains("correct") && !needs_rehash(&hash));
    assert!(verify_password(&password, Some(&hash)));
    assert!(!verify_password(&secret("correct horse batterx"), Some(&hash)));
    assert_ne!(hash, hash_password(&password, &random).unwrap(), "a salt of its own");
}

#[test]
fn lengths_have_clear_limits() {
    let random = SeededRandom::new(1);
    assert_eq!(hash_password(&secret("elevenchars"), &random).unwrap_err(), PasswordError::TooShort);
    assert_eq!(
        hash_password(&secret(&"ü".repeat(11)), &random).unwrap_err(),
        PasswordError::TooShort,
        "characters"
    );
    assert!(hash_password(&secret("grün Übung äß"), &random).is_ok());
    let long = "correct horse battery staple ".repeat(36)[..1024].to_owned();
    assert!(hash_password(&secret(&long), &random).is_ok());
    assert_eq!(hash_password(&secret(&"a".repeat(1025)), &random).unwrap_err(), PasswordError::TooLong);
    assert!(PasswordError::TooShort.to_string().contains("at least 12 characters"));
    assert!(PasswordError::TooLong.to_string().contains("at most 1024 bytes"));
}

#[test]
fn what_is_easily_guessed_is_refused_with_its_reason() {
    for weak in [
        "password1234",
        "aaaaaaaaaaaaaaaa",
        "qwertyuiop[]",
        "123456789012",
        "abcdefghijklmnop",
        "letmein2024!",
    ] {
        let error = check_password(&secret(weak), &[]).unwrap_err();
        assert!(matches!(&error, PasswordError::Guessable(why) if !why.is_empty()), "{weak}: {error}");
    }
    let about = ["mia.lindgren@lighthouse.example", "Lighthouse Keepers"];
    assert!(matches!(
        check_password(&secret("lindgrenlighthouse"), &about),
        Err(PasswordError::Guessable(_))
    ));
    for good in [
        "correct horse battery staple",
        "four unrelated words here",
        "vH7!q2Zp#mL9x",
        "lantern gravel quiet orbit",
    ] {
        assert_eq!(check_password(&secret(good), &about), Ok(()), "{good}");
    }
}

#[test]
fn nobody_has_a_password_and_costs_the_same() {
    let nobody = parameters(NOBODY).expect("the hash of nobody is well formed");
    let own =
        parameters(&hash_password(&secret("correct horse battery"), &SeededRandom::new(1)).unwrap()).unwrap();
    assert_eq!(
        (nobody.m_cost(), nobody.t_cost(), nobody.p_cost(), nobody.output_len()),
        (own.m_cost(), own.t_cost(), own.p_cost(), own.output_len())
    );
    for guess in ["", "nobody", "nobody has this", "correct horse battery"] {
        assert!(!verify_password(&secret(guess), None));
    }
}

#[test]
fn what_is_stored_wrongly_verifies_nothing() {
    let good = hash_password(&secret("correct horse battery"), &SeededRandom::new(1)).unwrap();
    for stored in [
        "",
        "correct horse battery",
        "$2b$12$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghijk",
        "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz",
        &good.replace("argon2id", "argon2i"),
        &good.replace("m=19456", "m=4194304"),
        &good.replace("t=2", "t=4000000"),
    ] {
        assert!(!verify_password(&secret("correct horse battery"), Some(stored)), "{stored}");
        assert!(needs_rehash(stored), "{stored}");
    }
    let of_nothing = argon2().hash_password_with_salt(b"", b"sixteen bytes ok").unwrap().to_string();
    for stored in [&good, &of_nothing] {
        assert!(!verify_password(&secret(&"a".repeat(1025)), Some(stored)), "too long is never right");
    }
    assert!(!verify_password(&secret(""), Some(&good)));
}

#[test]
fn weaker_parameters_of_old_still_verify_and_are_renewed() {
    let params = Params::new(8_192, 1, 1, None).unwrap();
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(b"correct horse battery", b"sixteen bytes ok")
        .unwrap()
        .to_string();
    assert!(verify_password(&secret("correct horse battery"), Some(&weak)) && needs_rehash(&weak));
}
