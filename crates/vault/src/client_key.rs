//! Private keys that Switchboard proves itself with as a client of third-party authorization servers
//! (`private_key_jwt`, RFC 7523): read as people have them (PKCS#8 or PKCS#1 as PEM, or a JSON Web Key, RFC 7517), or made
//! here.

use std::collections::BTreeMap;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPairComponents, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

/// Longest text that is read as a key: RSA with 8192 bits and room to spare.
const MAX_TEXT: usize = 16 * 1024;
/// Where ring puts the private scalar into the PKCS#8 document of a P-256 key; what is cut out there is read back.
const P256_SCALAR: std::ops::Range<usize> = 36..68;

/// Why a text is no key that can be used. Says nothing of what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeyError {
    #[error("It is neither a private key as PEM (`-----BEGIN PRIVATE KEY-----`) nor a private JSON Web Key.")]
    Shape,
    #[error("It is a public key. The private one belongs here; the public one belongs at the provider.")]
    Public,
    #[error("It is protected with a passphrase. Take that off first: `openssl pkcs8 -in KEY -out PLAIN`.")]
    Encrypted,
    #[error(
        "It is in the older form for elliptic curves. Convert it first: `openssl pkcs8 -topk8 -nocrypt -in KEY`."
    )]
    Sec1,
    #[error(
        "It is of a kind that is not used here: take P-256, P-384, Ed25519, or RSA with 2048 to 4096 bits."
    )]
    Kind,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A private key, ready to sign.
pub struct ClientKey {
    pair: Pair,
    id: Option<String>,
}

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientKey")
    }
}

/// RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2: what is read of a key.
#[derive(Deserialize)]
struct Jwk {
    #[serde(default)]
    kty: String,
    kid: Option<String>,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    d: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    p: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    dp: String,
    #[serde(default)]
    dq: String,
    #[serde(default)]
    qi: String,
}

impl Drop for Jwk {
    fn drop(&mut self) {
        for secret in [&mut self.d, &mut self.p, &mut self.q, &mut self.dp, &mut self.dq, &mut self.qi] {
            secret.zeroize();
        }
    }
}

impl ClientKey {
    /// Reads a key as a person pasted it, or as it was stored.
    pub fn read(text: &str) -> Result<Self, ClientKeyError> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(ClientKeyError::Shape);
        }
        if text.starts_with('{') {
            let jwk: Jwk = serde_json::from_str(text).map_err(|_| ClientKeyError::Shape)?;
            return Self::of_jwk(&jwk);
        }
        let (label, der) = pem(text)?;
        match label {
            "PRIVATE KEY" => Self::of_pkcs8(&der),
            "RSA PRIVATE KEY" => Self::of_pair(RsaKeyPair::from_der(&der).map(Pair::Rsa)),
            "EC PRIVATE KEY" => Err(ClientKeyError::Sec1),
            "ENCRYPTED PRIVATE KEY" => Err(ClientKeyError::Encrypted),
            "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => Err(ClientKeyError::Public),
            _ => Err(ClientKeyError::Shape),
        }
    }

    /// A new key for ES256, which every provider that takes keys at all verifies, named by its thumbprint: the JSON Web
    /// Key to seal.
    ///
    /// Its randomness is ring's own: ring takes no other for keys of this kind, nor for their signatures.
    pub fn generate() -> Option<Zeroizing<String>> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
        let key = Self::of_pkcs8(document.as_ref()).ok()?;
        let d = document.as_ref().get(P256_SCALAR).map(|d| Zeroizing::new(URL_SAFE_NO_PAD.encode(d)))?;
        let mut members = key.pair.public();
        members.insert("kid".into(), thumbprint(&members));
        let public = serde_json::to_string(&members).ok()?;
        let text = Zeroizing::new(format!("{},\"d\":\"{}\"}}", public.strip_suffix('}')?, d.as_str()));
        Self::read(&text).is_ok().then_some(text)
    }

    fn of_pair<E>(pair: Result<Pair, E>) -> Result<Self, ClientKeyError> {
        Ok(Self { pair: pair.map_err(|_| ClientKeyError::Kind)?, id: None })
    }

    fn of_pkcs8(der: &[u8]) -> Result<Self, ClientKeyError> {
        let random = SystemRandom::new();
        let curve = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der, &random);
        let pair = curve(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map(Pair::P256)
            .or_else(|_| curve(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Pair::P384))
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519))
            .or_else(|_| RsaKeyPair::from_pkcs8(der).map(Pair::Rsa));
        Self::of_pair(pair)
    }

    fn of_jwk(jwk: &Jwk) -> Result<Self, ClientKeyError> {
        if jwk.d.is_empty() {
            return Err(if jwk.kty == "oct" { ClientKeyError::Kind } else { ClientKeyError::Public });
        }
        let random = SystemRandom::new();
        let curve = |algorithm: &'static EcdsaSigningAlgorithm| {
            let point = [&[4][..], &decoded(&jwk.x)?, &decoded(&jwk.y)?].concat();
            EcdsaKeyPair::from_private_key_and_public_key(algorithm, &decoded(&jwk.d)?, &point, &random)
                .map_err(|_| ClientKeyError::Kind)
        };
        let pair = match (jwk.kty.as_str(), jwk.crv.as_str()) {
            ("EC", "P-256") => curve(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256)?,
            ("EC", "P-384") => curve(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Pair::P384)?,
            ("OKP", "Ed25519") => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(&decoded(&jwk.d)?, &decoded(&jwk.x)?);
                pair.map(Pair::Ed25519).map_err(|_| ClientKeyError::Kind)?
            }
            ("RSA", _) => {
                let components = KeyPairComponents {
                    public_key: PublicKeyComponents { n: decoded(&jwk.n)?, e: decoded(&jwk.e)? },
                    d: decoded(&jwk.d)?,
                    p: decoded(&jwk.p)?,
                    q: decoded(&jwk.q)?,
                    dP: decoded(&jwk.dp)?,
                    dQ: decoded(&jwk.dq)?,
                    qInv: decoded(&jwk.qi)?,
                };
                RsaKeyPair::from_components(&components).map(Pair::Rsa).map_err(|_| ClientKeyError::Kind)?
            }
            _ => return Err(ClientKeyError::Kind),
        };
        Ok(Self { pair, id: jwk.kid.clone() })
    }

    /// What it can sign with, best first (RFC 7518 section 3.1, RFC 8037, RFC 9864).
    pub const fn algorithms(&self) -> &'static [&'static str] {
        match self.pair {
            Pair::P256(_) => &["ES256"],
            Pair::P384(_) => &["ES384"],
            Pair::Ed25519(_) => &["EdDSA", "Ed25519"],
            Pair::Rsa(_) => &["RS256", "PS256"],
        }
    }

    /// Under which name the provider finds the public half, where the key has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The public half as a JSON Web Key.
    pub fn public(&self) -> BTreeMap<String, String> {
        let mut key = self.pair.public();
        key.insert("use".into(), "sig".into());
        if !matches!(self.pair, Pair::Rsa(_)) {
            key.insert("alg".into(), self.algorithms()[0].into());
        }
        if let Some(id) = &self.id {
            key.insert("kid".into(), id.clone());
        }
        key
    }

    /// `None` for an algorithm that is not this key's.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Option<Vec<u8>> {
        if !self.algorithms().contains(&algorithm) {
            return None;
        }
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding =
                    if algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

impl Pair {
    /// The members that make the key what it is, and no others.
    fn public(&self) -> BTreeMap<String, String> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = |curve: &str, pair: &EcdsaKeyPair| {
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            vec![("kty", "EC".to_owned()), ("crv", curve.to_owned()), ("x", encode(x)), ("y", encode(y))]
        };
        let members = match self {
            Self::P256(pair) => point("P-256", pair),
            Self::P384(pair) => point("P-384", pair),
            Self::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                vec![("kty", "OKP".to_owned()), ("crv", "Ed25519".to_owned()), ("x", x)]
            }
            Self::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                vec![("kty", "RSA".to_owned()), ("n", encode(&public.n)), ("e", encode(&public.e))]
            }
        };
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// RFC 7638 section 3: these members in the order of their names, nothing between.
fn thumbprint(members: &BTreeMap<String, String>) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{{}}}", members.join(","))))
}

fn decoded(text: &str) -> Result<Zeroizing<Vec<u8>>, ClientKeyError> {
    URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).map_err(|_| ClientKeyError::Shape)
}

/// Label and content of the first block (RFC 7468); line breaks may have been lost on the way here.
fn pem(text: &str) -> Result<(&str, Zeroizing<Vec<u8>>), ClientKeyError> {
    let block = || {
        let (_, rest) = text.split_once("-----BEGIN ")?;
        let (label, rest) = rest.split_once("-----")?;
        let (content, _) = rest.split_once("-----END ")?;
        Some((label, content))
    };
    let (label, content) = block().ok_or(ClientKeyError::Shape)?;
    if content.contains(':') {
        return Err(ClientKeyError::Encrypted);
    }
    let joined: Zeroizing<String> = Zeroizing::new(content.split_whitespace().collect());
    let der = STANDARD.decode(joined.as_bytes()).map_err(|_| ClientKeyError::Shape)?;
    Ok((label, Zeroizing::new(der)))
}

#[cfg(test)]
#[path = "client_key_tests.rs"]
mod tests;
