//! Signing in from a terminal (RFC 8252): the browser brings a code to a port of this machine, the code becomes tokens
//! (authorization code with PKCE, RFC 7636), and the tokens refresh themselves until the person signs out.

use std::{convert::Infallible, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use switchboard_domain::{COMMAND_LINE, Random, Resource, SecretValue, SystemRandom};
use tokio::{net::TcpListener, sync::mpsc};
use url::{Url, form_urlencoded};

use super::{
    http::{Client, refused},
    login::{AccessToken, Login, Logins},
};
use crate::{
    failure::Failure,
    output::{self, plain},
};

/// As long as the server lets a person decide.
const WAITS: Duration = Duration::from_secs(600);

/// What the browser brought to our port.
#[derive(Debug)]
struct Answer {
    code: Option<String>,
    state: String,
    issuer: String,
    error: Option<String>,
}

impl Client {
    /// Signs the person in through their browser and keeps what they get.
    pub(crate) async fn sign_in(&self) -> Result<(), Failure> {
        let metadata = self.metadata().await?;
        let endpoint = |name: &str| {
            let found = metadata[name].as_str().filter(|url| url.starts_with(&format!("{}/", self.origin())));
            found.map(str::to_owned).ok_or_else(|| {
                Failure::failed(format!("The server names no `{name}` of its own: nobody can sign in there."))
            })
        };
        let (authorize, token_endpoint) = (endpoint("authorization_endpoint")?, endpoint("token_endpoint")?);
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| Failure::failed(format!("No port to wait for the browser at: {error}.")))?;
        let port = listener.local_addr().map_or(0, |address| address.port());
        let redirect_uri = format!("http://127.0.0.1:{port}/callback");
        let (verifier, state) = (secret(), secret());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()));
        let resource = self.resource(&Resource::Api);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", COMMAND_LINE),
                ("redirect_uri", &*redirect_uri),
                ("code_challenge", &*challenge),
                ("code_challenge_method", "S256"),
                ("state", state.expose()),
                ("resource", &*resource),
            ])
            .finish();
        output::remark("Open this address in a browser on this machine, sign in and press Allow:");
        output::print(&format!("{authorize}?{query}"));
        let answer = wait(listener, state.expose().to_owned()).await?;
        if answer.issuer != self.origin() || answer.state != state.expose() {
            return Err(Failure::failed(
                "The answer came from another server than was asked: nothing is kept.",
            ));
        }
        let Some(code) = answer.code else {
            let error = answer.error.unwrap_or_default();
            return Err(Failure::failed(format!("It was not allowed ({}).", plain(&error))));
        };
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", COMMAND_LINE),
            ("code", &*code),
            ("redirect_uri", &*redirect_uri),
            ("code_verifier", verifier.expose()),
        ];
        let tokens = self.post_form(&token_endpoint, &form).await?;
        let login = Login {
            token_endpoint,
            revocation_endpoint: endpoint("revocation_endpoint")?,
            refresh_token: member(&tokens, "refresh_token")?,
            access_tokens: [(Resource::Api.path(), access_token(&tokens)?)].into(),
        };
        Logins::open()?.put(self.origin(), login)
    }

    /// Ends the sign-in at the server and forgets it here; whether there was one.
    pub(crate) async fn sign_out(&self) -> Result<bool, Failure> {
        let Some(login) = Logins::open()?.remove(self.origin())? else { return Ok(false) };
        let form = [("client_id", COMMAND_LINE), ("token", &*login.refresh_token)];
        self.post_form(&login.revocation_endpoint, &form).await.map_err(|error| {
            Failure::failed(format!(
                "It is forgotten here, but the server could not be told ({error}): it ends by itself when it is not used."
            ))
        })?;
        Ok(true)
    }

    /// An access token for this endpoint, refreshed when that is due. One process at a time.
    pub(super) async fn signed_in_token(&self, resource: &Resource) -> Result<SecretValue, Failure> {
        let over = || Failure::usage("You are not signed in there any more: switchboard login");
        let mut logins = tokio::task::spawn_blocking(Logins::open)
            .await
            .map_err(|error| Failure::failed(format!("The sign-in can't be read: {error}.")))??;
        let mut login = logins.find(self.origin()).cloned().ok_or_else(over)?;
        if let Some(known) = login.access_tokens.get(&resource.path()).filter(|token| token.is_good()) {
            return Ok(SecretValue::new(&*known.token));
        }
        let named = self.resource(resource);
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", COMMAND_LINE),
            ("refresh_token", &*login.refresh_token),
            ("resource", &*named),
        ];
        let tokens = match self.post_form(&login.token_endpoint, &form).await {
            Ok(tokens) => tokens,
            Err(Failure::Usage(_)) => {
                logins.remove(self.origin())?;
                return Err(over());
            }
            Err(error) => return Err(error),
        };
        login.refresh_token = member(&tokens, "refresh_token")?;
        let fresh = access_token(&tokens)?;
        let token = SecretValue::new(&*fresh.token);
        login.access_tokens.insert(resource.path(), fresh);
        logins.refreshed(self.origin(), login)?;
        Ok(token)
    }

    fn resource(&self, resource: &Resource) -> String {
        format!("{}{}", self.origin(), resource.path())
    }

    /// The server's own description of how to sign in (RFC 8414), when it is who it was asked as.
    async fn metadata(&self) -> Result<Value, Failure> {
        let path = "/.well-known/oauth-authorization-server";
        let (status, body) = self.send_open(Method::GET, path, HeaderMap::new(), Bytes::new()).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &body));
        }
        let metadata: Value = serde_json::from_slice(&body).unwrap_or_default();
        let issuer = metadata["issuer"].as_str().unwrap_or_default();
        if issuer == self.origin() {
            return Ok(metadata);
        }
        if issuer.is_empty() {
            return Err(Failure::failed("Nobody signs in there. Is --server the address of a Switchboard?"));
        }
        Err(Failure::usage(format!("This server is known as {}: name it so with --server.", plain(issuer))))
    }

    /// A form to an endpoint of the authorization server. A sign-in that is over is wrong usage: sign in again.
    async fn post_form(&self, endpoint: &str, form: &[(&str, &str)]) -> Result<Value, Failure> {
        let path = endpoint.strip_prefix(self.origin()).filter(|path| path.starts_with('/'));
        let path = path.ok_or_else(|| Failure::failed("The sign-in is for another server."))?;
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, kind);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let (status, answer) = self.send_open(Method::POST, path, headers, body.into()).await?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let error = answer["error"].as_str().unwrap_or_default();
        let text = plain(answer["error_description"].as_str().unwrap_or("no reason given"));
        Err(match error {
            "invalid_grant" | "invalid_client" => Failure::usage(text),
            _ => Failure::failed(format!("The server refused ({status}): {text}.")),
        })
    }
}

fn secret() -> SecretValue {
    let random: &dyn Random = &SystemRandom;
    let bytes: [u8; 32] = random.bytes();
    SecretValue::new(URL_SAFE_NO_PAD.encode(bytes))
}

fn member(tokens: &Value, name: &str) -> Result<String, Failure> {
    let found = tokens[name].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::failed(format!("The server's answer has no `{name}`.")))
}

fn access_token(tokens: &Value) -> Result<AccessToken, Failure> {
    let expires_in = tokens["expires_in"].as_i64().unwrap_or(0);
    Ok(AccessToken::new(&member(tokens, "access_token")?, expires_in))
}

/// Serves our port until the browser brings the answer. Requests without our `state` are somebody else's.
async fn wait(listener: TcpListener, state: String) -> Result<Answer, Failure> {
    let (sender, mut answers) = mpsc::channel(1);
    let state: Arc<str> = state.into();
    let serving = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else { break };
            let (sender, state) = (sender.clone(), Arc::clone(&state));
            let service = service_fn(move |request| take(request, sender.clone(), Arc::clone(&state)));
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .keep_alive(false)
                    .header_read_timeout(Duration::from_secs(10))
                    .serve_connection(TokioIo::new(stream), service);
                // A browser that goes away early has nobody to tell.
                let _ = connection.await;
            });
        }
    };
    let answer = async {
        let answer = answers.recv().await;
        // The page is on its way to the browser.
        tokio::time::sleep(Duration::from_millis(200)).await;
        answer
    };
    tokio::select! {
        () = serving => Err(Failure::failed("The port for the browser was closed.")),
        answer = answer => answer.ok_or_else(|| Failure::failed("The port for the browser was closed.")),
        () = tokio::time::sleep(WAITS) => {
            Err(Failure::failed("Nobody signed in within ten minutes. Start again: switchboard login"))
        }
    }
}

async fn take(
    request: http::Request<Incoming>,
    sender: mpsc::Sender<Answer>,
    state: Arc<str>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let url = Url::parse("http://127.0.0.1").and_then(|base| base.join(&request.uri().to_string()));
    let found = |name: &str| {
        let url = url.as_ref().ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let is_ours = request.method() == Method::GET
        && request.uri().path() == "/callback"
        && found("state").is_some_and(|given| *given == *state);
    let (status, text) = if is_ours {
        let answer = Answer {
            code: found("code"),
            state: found("state").unwrap_or_default(),
            issuer: found("iss").unwrap_or_default(),
            error: found("error"),
        };
        let text = match answer.code {
            Some(_) => "You are signed in at the terminal. You can close this page.",
            None => "Nothing was allowed. You can close this page.",
        };
        let _ = sender.try_send(answer);
        (StatusCode::OK, text)
    } else {
        (StatusCode::NOT_FOUND, "There is nothing here.")
    };
    let mut response = http::Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
