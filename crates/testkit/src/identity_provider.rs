//! An OpenID provider that does what a test tells it: one that can be trusted, or one that lies.
//!
//! Its metadata, keys, token and user info endpoints are real HTTP; the page where a person would sign in is
//! [`ScriptedProvider::authorize`], which reads the address a browser was sent to and says where it is sent back.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchboard_domain::{Clock as _, SystemClock};
use url::{Url, form_urlencoded};

use crate::upstream::listener::{Listener, Outcome};

pub const CLIENT_ID: &str = "switchboard-tests";
pub const CLIENT_SECRET: &str = "a secret of the client, 0123456789";

/// How an ID token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// With the key that is published.
    Published,
    /// With another key under the same name.
    Another,
    /// Not at all: `alg` is `none`.
    Not,
    /// HS256, the published key taken for a secret.
    PublicKeyAsSecret,
}

/// What the provider says. A member that is `null` takes the one that would be there away.
#[derive(Debug, Clone)]
pub struct ProviderScript {
    /// Changes to the metadata.
    pub metadata: Value,
    /// Changes to the claims of the ID token: `sub`, `email`, `groups` and the lies.
    pub claims: Value,
    pub signing: Signing,
    /// Changes to the token endpoint's answer.
    pub tokens: Value,
    /// The token endpoint's whole answer instead: status, type, body.
    pub token_answer: Option<(u16, &'static str, String)>,
    /// What the user info endpoint says beside the subject.
    pub user_info: Value,
    /// Parameters of the answer to the browser, instead of or beside its own.
    pub answer: Vec<(&'static str, &'static str)>,
    /// Seconds an access token lives.
    pub expires_in: u64,
    /// Status of the revocation endpoint's answer.
    pub revocation: u16,
}

impl Default for ProviderScript {
    fn default() -> Self {
        Self {
            metadata: json!({}),
            claims: json!({ "sub": "subject-1" }),
            signing: Signing::Published,
            tokens: json!({}),
            token_answer: None,
            user_info: json!({}),
            answer: Vec::new(),
            expires_in: 3600,
            revocation: 200,
        }
    }
}

#[derive(Debug)]
struct Asked {
    nonce: Option<String>,
    challenge: String,
    redirect_uri: String,
}

#[derive(Debug)]
struct Provider {
    script: Mutex<ProviderScript>,
    asked: Mutex<HashMap<String, Asked>>,
    refresh_token: Mutex<Option<String>>,
    /// Tokens that it was told are over.
    revoked: Mutex<Vec<String>>,
    issued: AtomicUsize,
    refreshes: AtomicUsize,
    token_requests: AtomicUsize,
    key: EcdsaKeyPair,
    other_key: EcdsaKeyPair,
    issuer: std::sync::OnceLock<String>,
}

/// See the module. It stops when it is dropped.
#[derive(Debug)]
pub struct ScriptedProvider {
    provider: Arc<Provider>,
    _listener: Listener,
}

impl ScriptedProvider {
    pub async fn start() -> Self {
        crate::canary::remember(CLIENT_SECRET);
        let provider = Arc::new(Provider {
            script: Mutex::default(),
            asked: Mutex::default(),
            refresh_token: Mutex::default(),
            revoked: Mutex::default(),
            issued: AtomicUsize::new(0),
            refreshes: AtomicUsize::new(0),
            token_requests: AtomicUsize::new(0),
            key: new_key(),
            other_key: new_key(),
            issuer: std::sync::OnceLock::new(),
        });
        let serving = Arc::clone(&provider);
        let listener = Listener::bind(Arc::new(move |request, _| {
            let provider = Arc::clone(&serving);
            Box::pin(async move { provider.handle(request).await })
        }))
        .await;
        provider.issuer.set(format!("http://{}/realm", listener.address)).expect("set once");
        Self { provider, _listener: listener }
    }

    pub fn issuer(&self) -> &str {
        self.provider.issuer()
    }

    /// From now on it says this.
    pub fn says(&self, script: ProviderScript) {
        *self.provider.script.lock() = script;
    }

    /// From now on this is who signs in: an honest provider's word.
    pub fn knows(&self, claims: Value) {
        self.says(ProviderScript { claims, ..ProviderScript::default() });
    }

    /// The person signs in: where the browser goes back to.
    pub fn authorize(&self, url: &str) -> String {
        let url = Url::parse(url).expect("a URL");
        assert!(url.as_str().starts_with(self.issuer()), "{url}");
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], CLIENT_ID);
        assert_eq!(asked["code_challenge_method"], "S256");
        let code = format!("code-{}", self.provider.issued.fetch_add(1, Ordering::Relaxed));
        let kept = Asked {
            nonce: asked.get("nonce").cloned(),
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
        };
        self.provider.asked.lock().insert(code.clone(), kept);
        let mut answer = vec![
            ("code".to_owned(), code),
            ("state".to_owned(), asked["state"].clone()),
            ("iss".to_owned(), self.issuer().to_owned()),
        ];
        for (name, value) in &self.provider.script.lock().answer {
            answer.retain(|(known, _)| known != name);
            answer.push(((*name).to_owned(), (*value).to_owned()));
        }
        answer.retain(|(_, value)| !value.is_empty());
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
        format!("{}?{query}", asked["redirect_uri"])
    }

    /// Requests that came to the token endpoint.
    pub fn token_requests(&self) -> usize {
        self.provider.token_requests.load(Ordering::Relaxed)
    }

    /// Refreshes that brought new tokens.
    pub fn refreshes(&self) -> usize {
        self.provider.refreshes.load(Ordering::Relaxed)
    }

    /// Tokens that it was told are over, in the order it was told, also where it did not listen.
    pub fn revoked(&self) -> Vec<String> {
        self.provider.revoked.lock().clone()
    }

    /// No refresh token that was given out works any more.
    pub fn forget_refresh_tokens(&self) {
        *self.provider.refresh_token.lock() = None;
    }
}

impl Provider {
    fn issuer(&self) -> &str {
        self.issuer.get().expect("set at the start")
    }

    async fn handle(&self, request: Request<Incoming>) -> Outcome {
        let path = request.uri().path().to_owned();
        let headers = request.headers().clone();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let (status, kind, text) = match path.as_str() {
            "/realm/.well-known/openid-configuration" => json_answer(self.metadata()),
            "/realm/jwks" => json_answer(json!({ "keys": [jwk(&self.key)] })),
            "/realm/token" => self.token(&headers, &body),
            "/realm/revoke" => self.revoke(&headers, &body),
            "/realm/userinfo" => json_answer(self.user_info()),
            _ => (404, "text/plain", "nothing here".to_owned()),
        };
        let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
        let answer = Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(body);
        Ok(answer.expect("an answer"))
    }

    fn metadata(&self) -> Value {
        let issuer = self.issuer();
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/jwks"),
            "revocation_endpoint": format!("{issuer}/revoke"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        merge(&mut metadata, &self.script.lock().metadata);
        metadata
    }

    fn user_info(&self) -> Value {
        let script = self.script.lock();
        let mut claims = json!({ "sub": script.claims["sub"] });
        merge(&mut claims, &script.user_info);
        claims
    }

    fn token(&self, headers: &http::HeaderMap, body: &[u8]) -> (u16, &'static str, String) {
        self.token_requests.fetch_add(1, Ordering::Relaxed);
        let script = self.script.lock().clone();
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        if !is_client(headers) {
            return refused("invalid_client");
        }
        if let Some(answer) = script.token_answer {
            return answer;
        }
        let nonce = match form.get("grant_type").map(String::as_str) {
            Some("refresh_token") => {
                let known = self.refresh_token.lock().take();
                if known.is_none() || known.as_ref() != form.get("refresh_token") {
                    return refused("invalid_grant");
                }
                self.refreshes.fetch_add(1, Ordering::Relaxed);
                None
            }
            _ => {
                let asked = form.get("code").and_then(|code| self.asked.lock().remove(code));
                let Some(asked) = asked else { return refused("invalid_grant") };
                let verifier = form.get("code_verifier").map(String::as_str).unwrap_or_default();
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
                if challenge != asked.challenge || form.get("redirect_uri") != Some(&asked.redirect_uri) {
                    return refused("invalid_grant");
                }
                asked.nonce
            }
        };
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let refresh = format!("refresh-token-{number}");
        crate::canary::remember(&refresh);
        crate::canary::remember(&format!("access-token-{number}"));
        *self.refresh_token.lock() = Some(refresh.clone());
        let mut answer = json!({
            "access_token": format!("access-token-{number}"),
            "token_type": "Bearer",
            "expires_in": script.expires_in,
            "refresh_token": refresh,
            "id_token": self.id_token(&script, nonce),
        });
        merge(&mut answer, &script.tokens);
        json_answer(answer)
    }

    fn revoke(&self, headers: &http::HeaderMap, body: &[u8]) -> (u16, &'static str, String) {
        if !is_client(headers) {
            return refused("invalid_client");
        }
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        self.revoked.lock().extend(form.get("token").cloned());
        (self.script.lock().revocation, "text/plain", String::new())
    }

    fn id_token(&self, script: &ProviderScript, nonce: Option<String>) -> String {
        let now = SystemClock.now().as_secs();
        let mut claims = json!({
            "iss": self.issuer(), "aud": CLIENT_ID, "iat": now, "exp": now + 300, "auth_time": now,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        merge(&mut claims, &script.claims);
        let algorithm = match script.signing {
            Signing::Published | Signing::Another => "ES256",
            Signing::Not => "none",
            Signing::PublicKeyAsSecret => "HS256",
        };
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": "key-1" });
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = match script.signing {
            Signing::Published => sign(&self.key, &signed),
            Signing::Another => sign(&self.other_key, &signed),
            Signing::Not => Vec::new(),
            Signing::PublicKeyAsSecret => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.public_key().as_ref());
                hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn new_key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).expect("a key")
}

fn sign(key: &EcdsaKeyPair, text: &str) -> Vec<u8> {
    key.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature").as_ref().to_vec()
}

fn jwk(key: &EcdsaKeyPair) -> Value {
    // An uncompressed point: 4, then both coordinates.
    let point = key.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "key-1", "x": x, "y": y })
}

fn json_answer(value: Value) -> (u16, &'static str, String) {
    (200, "application/json", value.to_string())
}

/// Whether it is us who ask.
fn is_client(headers: &http::HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(CLIENT_ID), encode(CLIENT_SECRET));
    given == format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn refused(code: &str) -> (u16, &'static str, String) {
    (400, "application/json", json!({ "error": code }).to_string())
}

/// RFC 7396, one level deep.
fn merge(into: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(into.as_object_mut().and_then(|into| into.shift_remove(name))),
            value => into[name] = value.clone(),
        }
    }
}
