use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::*;

/// RFC 7515 appendix A.3.
const ES256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
/// RFC 8037 appendix A.1.
const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"of theirs"}"#;

fn point(public: &BTreeMap<String, String>) -> Vec<u8> {
    [&[4][..], &decoded(&public["x"]).unwrap(), &decoded(&public["y"]).unwrap()].concat()
}

#[test]
fn a_web_key_signs_what_its_public_half_verifies() {
    let key = ClientKey::read(ES256).unwrap();
    assert_eq!((key.algorithms(), key.id()), (&["ES256"][..], None));
    let signature = key.sign("ES256", b"message").unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(&key.public()));
    assert!(public.verify(b"message", &signature).is_ok() && public.verify(b"other", &signature).is_err());
    assert!(key.sign("RS256", b"message").is_none() && key.sign("none", b"message").is_none());

    let key = ClientKey::read(ED).unwrap();
    assert_eq!(key.id(), Some("of theirs"));
    let public = key.public();
    assert_eq!((public["kid"].as_str(), public["alg"].as_str()), ("of theirs", "EdDSA"));
    let signature = key.sign("Ed25519", b"message").unwrap();
    let x = decoded(&public["x"]).unwrap();
    assert!(UnparsedPublicKey::new(&ED25519, &*x).verify(b"message", &signature).is_ok());
}

/// RFC 8037 appendix A.3.
#[test]
fn a_thumbprint_is_over_what_makes_the_key() {
    let key = ClientKey::read(ED).unwrap();
    assert_eq!(thumbprint(&key.pair.public()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_key_that_is_made_here_can_be_read_again() {
    let text = ClientKey::generate().unwrap();
    let key = ClientKey::read(&text).unwrap();
    assert_eq!(key.id(), Some(thumbprint(&key.pair.public()).as_str()));
    let signature = key.sign("ES256", b"message").unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(&key.public()));
    assert!(public.verify(b"message", &signature).is_ok());
    assert_ne!(*text, *ClientKey::generate().unwrap());
    assert_eq!(format!("{key:?}"), "ClientKey");
    let public = serde_json::to_string(&key.public()).unwrap();
    assert!(!public.contains("\"d\""), "{public}");
}

#[test]
fn keys_of_openssl_sign() {
    let text = include_str!("../testdata/p256.pem");
    let joined = ClientKey::read(&text.replace('\n', " ")).unwrap();
    assert_eq!(joined.public(), ClientKey::read(text).unwrap().public(), "line breaks are often lost");
    for (text, algorithms) in [
        (include_str!("../testdata/p256.pem"), &["ES256"][..]),
        (include_str!("../testdata/p384.pem"), &["ES384"]),
        (include_str!("../testdata/ed25519.pem"), &["EdDSA", "Ed25519"]),
        (include_str!("../testdata/rsa.pem"), &["RS256", "PS256"]),
        (include_str!("../testdata/rsa-pkcs1.pem"), &["RS256", "PS256"]),
    ] {
        let key = ClientKey::read(text).unwrap();
        assert_eq!(key.algorithms(), algorithms);
        let public = key.public();
        for algorithm in algorithms {
            let signature = key.sign(algorithm, b"message").unwrap();
            let verified = match *algorithm {
                "ES256" => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(&public))
                    .verify(b"message", &signature),
                "ES384" => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point(&public))
                    .verify(b"message", &signature),
                "EdDSA" | "Ed25519" => {
                    UnparsedPublicKey::new(&ED25519, decoded(&public["x"]).unwrap().to_vec())
                        .verify(b"message", &signature)
                }
                algorithm => {
                    let (n, e) = (decoded(&public["n"]).unwrap(), decoded(&public["e"]).unwrap());
                    let parameters = match algorithm {
                        "PS256" => &RSA_PSS_2048_8192_SHA256,
                        _ => &RSA_PKCS1_2048_8192_SHA256,
                    };
                    RsaPublicKeyComponents { n: &*n, e: &*e }.verify(parameters, b"message", &signature)
                }
            };
            assert!(verified.is_ok(), "{algorithm}");
        }
    }
}

#[test]
fn whoever_pastes_something_else_is_told_what_it_is() {
    use ClientKeyError as E;
    let public = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let mixed = ES256.replace("f83OJ", "g83OJ");
    for (text, error) in [
        ("", E::Shape),
        ("a secret", E::Shape),
        ("{}", E::Public),
        ("{\"kty\":", E::Shape),
        (public, E::Public),
        (r#"{"kty":"oct","k":"c2VjcmV0"}"#, E::Kind),
        (r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA","d":"AA"}"#, E::Kind),
        (mixed.as_str(), E::Kind),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", E::Public),
        ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----", E::Sec1),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", E::Encrypted),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nAAAA\n-----END RSA PRIVATE KEY-----",
            E::Encrypted,
        ),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", E::Kind),
        ("-----BEGIN PRIVATE KEY-----\n....\n-----END PRIVATE KEY-----", E::Shape),
        ("-----BEGIN PRIVATE KEY-----\nAAAA", E::Shape),
    ] {
        assert_eq!(ClientKey::read(text).unwrap_err(), error, "{text}");
    }
    assert_eq!(ClientKey::read(&"x".repeat(20_000)).unwrap_err(), E::Shape);
}
