//! One exchange with the server, and what its refusals mean at a terminal.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use switchboard_domain::{Resource, SecretValue};
use switchboard_egress::{ByteLimit, Egress, EgressError, Redirects, Request, Response, TlsFailure};

use crate::{
    config::{Config, Environment, SettingFlags, Settings},
    failure::Failure,
    output::plain,
    startup,
};

const MAX_ANSWER: ByteLimit = ByteLimit { name: "answer of the server", bytes: 64 * 1024 * 1024 };

/// How long an export may take.
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(3600);

/// More rows than anybody reads; it ends a list that never does.
const MAX_ROWS: usize = 100_000;

/// How requests say who sends them.
#[derive(Debug)]
pub(super) enum Bearer {
    Token(SecretValue),
    /// What `switchboard login` left.
    SignedIn,
    /// To sign in.
    Nobody,
}

/// A server and how to talk to it.
#[derive(Debug)]
pub(crate) struct Client {
    egress: Egress,
    origin: String,
    bearer: Bearer,
}

impl Client {
    pub(super) fn new(server: &str, bearer: Bearer) -> Result<Self, Failure> {
        // Only what concerns the way out is read here: private authorities, a proxy.
        let settings = Settings::load(&SettingFlags::default(), &Environment::of_process())?;
        let egress = startup::operator_egress(&Config::new(&settings)?.egress)?;
        // The address that AI clients are given is an answer to the same question.
        let origin = server.trim_end_matches('/');
        let origin = origin.strip_suffix("/mcp").unwrap_or(origin).to_owned();
        egress.check_url(&origin).map_err(|_| {
            Failure::usage(format!(
                "`{}` can't be used as a server: write https://host, or http:// with an address of this machine or a \
                 private network (--server, SWITCHBOARD_SERVER)",
                plain(&origin)
            ))
        })?;
        Ok(Self { egress, origin, bearer })
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.api(Method::GET, path, None).await
    }

    /// Every row of a list, page by page.
    pub(crate) async fn all(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let (mut rows, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                None => self.get(&format!("{path}{separator}limit=200")).await?,
                Some(cursor) => {
                    let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
                    self.get(&format!("{path}{separator}limit=200&cursor={cursor}")).await?
                }
            };
            rows.extend_from_slice(super::items(&page));
            let next = page["next_cursor"].as_str().map(str::to_owned);
            if next.is_none() || next == cursor || rows.len() >= MAX_ROWS {
                return Ok(rows);
            }
            cursor = next;
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.api(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.api(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.api(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.api(Method::DELETE, path, None).await
    }

    async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let (status, answer) = self.send(method, &format!("/api/v1{path}"), HeaderMap::new(), body).await?;
        if status.is_success() {
            return read(&answer);
        }
        Err(missing(status, path, &answer).unwrap_or_else(|| refused(status, &answer)))
    }

    /// Writes an answer to stdout as it comes, however long it is.
    pub(crate) async fn download(&self, path: &str) -> Result<(), Failure> {
        use std::io::Write as _;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        let answer = self.exchange(Method::GET, &format!("/api/v1{path}"), headers, Bytes::new()).await?;
        if !answer.status.is_success() {
            let (status, body) = self.whole(answer).await?;
            return Err(refused(status, &body));
        }
        let mut body = answer.body;
        body.extend_total_deadline(LONGEST_DOWNLOAD);
        while let Some(piece) = body.next_piece().await {
            let piece = piece.map_err(|error| {
                Failure::failed(format!("The answer ended early, what was written is not whole: {error}."))
            })?;
            // A reader that went away has enough.
            if std::io::stdout().lock().write_all(&piece).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Status and body; only a lost exchange is an error here.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        self.whole(self.exchange(method, path, headers, body).await?).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Failure> {
        let signed_in;
        let token = match &self.bearer {
            Bearer::Token(token) => token,
            Bearer::SignedIn => {
                let for_api = path.starts_with("/api/v1/");
                let resource = if for_api { Resource::Api } else { Resource::Default };
                signed_in = self.signed_in_token(&resource).await?;
                &signed_in
            }
            Bearer::Nobody => return Err(Failure::usage("Sign in first: switchboard login")),
        };
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
            Failure::usage("The access token has characters that no token has: copy it again, whole.")
        })?;
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.transmit(method, path, headers, body).await
    }

    /// Without saying who it is from.
    pub(super) async fn send_open(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        self.whole(self.transmit(method, path, headers, body).await?).await
    }

    async fn whole(&self, answer: Response) -> Result<(StatusCode, Bytes), Failure> {
        let status = answer.status;
        let body = answer.body.collect_bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok((status, body))
    }

    async fn transmit(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Failure> {
        let address = format!("{}{path}", self.origin);
        let url = self
            .egress
            .check_url(&address)
            .map_err(|_| Failure::usage(format!("`{}` is not a URL", plain(&address))))?;
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let request = Request {
            method,
            url,
            headers,
            body,
            deadlines: self.egress.limits().call_deadlines(),
            max_wire_bytes: MAX_ANSWER,
            max_inflated_bytes: MAX_ANSWER,
            redirects: Redirects::Refuse,
            accept_gzip: false,
        };
        self.egress.send(request).await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &EgressError) -> Failure {
        let next = match error {
            EgressError::ConnectRefused => {
                "Is it running? `switchboard serve` starts it; --server or SWITCHBOARD_SERVER names another"
            }
            EgressError::TlsFailed { kind: TlsFailure::Protocol } => {
                "Does it speak plain http? Then write http:// in --server or SWITCHBOARD_SERVER"
            }
            EgressError::TlsFailed { .. } => {
                "For a private authority, set SWITCHBOARD_EGRESS_EXTRA_ROOT_CERTIFICATES to its PEM file"
            }
            EgressError::Protocol { .. } => "Is it http rather than https, or another program?",
            _ => "Check the address given with --server or SWITCHBOARD_SERVER",
        };
        Failure::failed(format!("Can't reach {}: {error}. {next}.", plain(&self.origin)))
    }
}

fn read(answer: &[u8]) -> Result<Value, Failure> {
    if answer.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(answer).map_err(|_| {
        Failure::failed("The server's answer is not JSON. Is --server the address of a Switchboard?")
    })
}

/// What is not there by its noun: the server says the same of everything that is not there or not for this caller.
fn missing(status: StatusCode, path: &str, answer: &[u8]) -> Option<Failure> {
    let problem: Value = serde_json::from_slice(answer).unwrap_or_default();
    let mut segments = path.split(['/', '?']).filter(|segment| !segment.is_empty());
    let noun = match segments.next()? {
        "connections" => "connection",
        "toolkits" => "toolkit",
        "members" => "member",
        "teams" => "team",
        "invitations" => "invitation",
        "service-accounts" => "service account",
        "tokens" => "token",
        "sessions" => "session",
        "approvals" => "approval",
        "allowed-clients" => "allowed client",
        _ => return None,
    };
    let id = segments.next().filter(|id| id.contains('_'))?;
    (status == StatusCode::NOT_FOUND && problem["code"] == "not_found").then(|| {
        Failure::failed(format!("There is no {noun} {} that this token may do that with.", plain(id)))
    })
}

/// The server's own words (RFC 9457), or what the status means.
pub(super) fn refused(status: StatusCode, answer: &[u8]) -> Failure {
    let problem: Value = serde_json::from_slice(answer).unwrap_or_default();
    let mut text = match problem["detail"].as_str() {
        Some(detail) => plain(detail),
        None => match status {
            StatusCode::UNAUTHORIZED => "The server does not accept this token.".into(),
            StatusCode::FORBIDDEN => "This token may not do that.".into(),
            // Switchboard says what is not there: this is somebody else, or a proxy before it.
            StatusCode::NOT_FOUND => {
                "The server answered 404, and not as Switchboard does: is the address right? --server or \
                 SWITCHBOARD_SERVER names it, without /mcp."
                    .into()
            }
            _ => format!("The server answered {status}."),
        },
    };
    // A single one stands in the sentence already.
    let violations = problem["violations"].as_array().filter(|violations| violations.len() > 1);
    for violation in violations.into_iter().flatten() {
        let field = violation["field"].as_str().or(violation["path"].as_str()).unwrap_or_default();
        let message = violation["message"].as_str().unwrap_or_default();
        text.push_str(&format!("\n  {}: {}", plain(field), plain(message)));
    }
    if status == StatusCode::UNAUTHORIZED {
        text.push_str(
            "\nIt may be expired or revoked. Sign in: switchboard login; a new token: switchboard admin create-token \
             --email E --scope api …",
        );
    }
    Failure::Failed(text)
}
