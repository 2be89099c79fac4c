//! `/connections/import`: the configuration of an AI client, pasted as text. First what each entry would become, then the
//! chosen ones are made; those that can't be are named with the reason.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use futures_util::future::join_all;
use switchboard_broker::{
    SignedIn,
    connect::ResolveInput,
    manage::{ApiKeyInput, GrantsInput, NewConnection, Operation, Refusal},
};
use switchboard_domain::{AuthType, CredentialMode};

use super::{
    configuration::{Entry, Key, Outcome, Remote, read},
    new::free_slug,
};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        message,
        navigation::Navigation,
        once, page,
    },
};

const PATH: &str = "/connections/import";

struct Row {
    index: usize,
    name: String,
    slug: String,
    url: String,
    /// What it becomes, or why it doesn't.
    text: String,
    can_be: bool,
}

struct Made {
    name: String,
    /// The page of what was made.
    address: Option<String>,
    text: String,
}

#[derive(Template)]
#[template(path = "connection_import.html")]
struct Import<'a> {
    navigation: Navigation,
    text: &'a str,
    problem: Option<&'a str>,
    rows: Vec<Row>,
    made: Vec<Made>,
}

impl Import<'_> {
    fn has_something(&self) -> bool {
        self.rows.iter().any(|row| row.can_be)
    }
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    if !signed_in.principal.role.is_admin() {
        return for_admins();
    }
    let form_token = browser::form_token(&state, &headers);
    let navigation = Navigation::new(&state, &signed_in, &form_token, PATH).await;
    page(StatusCode::OK, &Import { navigation, text: "", problem: None, rows: Vec::new(), made: Vec::new() })
}

fn for_admins() -> Response<Body> {
    let text = "Importing adds connections for the organization, which is for its admins.";
    message(StatusCode::FORBIDDEN, "For admins", text, None)
}

pub(super) async fn submit(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read_repeating(&state, request, &["entry"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    if !sent.signed_in.principal.role.is_admin() {
        return for_admins();
    }
    let text = sent.fields.get("text").unwrap_or_default();
    let navigation = Navigation::new(&state, &sent.signed_in, &sent.form_token, PATH).await;
    let entries = match read(text) {
        Ok(entries) => entries,
        Err(problem) => {
            let problem = Some(problem.as_str());
            let shown = Import { navigation, text, problem, rows: Vec::new(), made: Vec::new() };
            return page(StatusCode::UNPROCESSABLE_ENTITY, &shown);
        }
    };
    if sent.fields.get("step") == Some("create") {
        if let Some(response) = once::sent_before(&state, &sent, "/connections").await {
            return response;
        }
        let chosen: Vec<usize> = sent.fields.all("entry").filter_map(|index| index.parse().ok()).collect();
        let everyone = sent.fields.get("who") == Some("everyone");
        let mut made = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            if chosen.contains(&index) {
                made.push(create(&state, &sent.signed_in, entry, everyone).await);
            }
        }
        let problem = made.is_empty().then_some("Nothing was chosen.");
        return page(StatusCode::OK, &Import { navigation, text: "", problem, rows: Vec::new(), made });
    }
    let rows =
        join_all(entries.iter().enumerate().map(|(index, entry)| row(&state, &sent.signed_in, index, entry)));
    let rows = rows.await;
    page(StatusCode::OK, &Import { navigation, text, problem: None, rows, made: Vec::new() })
}

async fn row(state: &ServerState, signed_in: &SignedIn, index: usize, entry: &Entry) -> Row {
    let (url, text, can_be) = match &entry.outcome {
        Outcome::Remote(remote) => {
            let auth = auth_type(state, signed_in, remote).await;
            (remote.url.clone(), in_words(auth, &remote.key), true)
        }
        Outcome::Program(command) => (
            String::new(),
            format!(
                "A program on the machine that has this file ({command}). Switchboard starts programs only if its operator \
                 names them in switchboard.toml, under [[stdio]]."
            ),
            false,
        ),
        Outcome::Unreadable(why) => (String::new(), (*why).to_owned(), false),
    };
    Row { index, name: entry.name.clone(), slug: entry.slug.clone(), url, text, can_be }
}

/// As the file says, else as the server does. One that does not answer now is taken for one where people sign in: its
/// first check says better.
async fn auth_type(state: &ServerState, signed_in: &SignedIn, remote: &Remote) -> AuthType {
    if let Some(auth) = remote.key.auth_type() {
        return auth;
    }
    let asked = ResolveInput { query: remote.url.clone(), variables: Default::default() };
    let found = state.broker.resolve_now(&signed_in.principal, &asked).await.ok();
    let first = found.and_then(|found| found.candidates.into_iter().next());
    first.and_then(|candidate| candidate.auth_type).unwrap_or(AuthType::OAuth)
}

fn in_words(auth: AuthType, key: &Key) -> String {
    match (auth, key) {
        (AuthType::None, _) => "It asks for no account.".to_owned(),
        (AuthType::ApiKey, Key::One { header, value: Some(_), .. }) => {
            format!(
                "With the key in the header {header}, sealed here. Everybody who may use it acts with it."
            )
        }
        (AuthType::ApiKey, Key::One { header, .. }) => {
            format!("With a key in the header {header}, which the file does not have: you enter it next.")
        }
        (AuthType::ApiKey, _) => {
            "It wants a key, which the file does not have: you enter it next.".to_owned()
        }
        (AuthType::Headers, _) => "With the headers in the file, sealed here.".to_owned(),
        _ => "Everybody signs in at its provider with an account of their own.".to_owned(),
    }
}

async fn create(state: &ServerState, signed_in: &SignedIn, entry: Entry, everyone: bool) -> Made {
    let Outcome::Remote(remote) = entry.outcome else {
        return Made { name: entry.name, address: None, text: "It is no server at an address.".to_owned() };
    };
    let auth = auth_type(state, signed_in, &remote).await;
    let slug = free_slug(state, signed_in, &entry.slug).await.unwrap_or(entry.slug);
    let mut new = NewConnection {
        name: Some(entry.name.clone()),
        transport: Some(remote.transport),
        credential_mode: (auth == AuthType::OAuth).then_some(CredentialMode::PerMember),
        ..NewConnection::at(&slug, &remote.url, auth)
    };
    match remote.key {
        Key::One { header, scheme, value } => {
            new.api_key = Some(ApiKeyInput { header: Some(header), scheme, value });
        }
        Key::Headers(headers) => new.headers = Some(headers),
        Key::Unknown => {}
    }
    let members = if everyone { Vec::new() } else { vec![signed_in.member] };
    let grants = GrantsInput { everyone, members, teams: Vec::new() };
    let principal = &signed_in.principal;
    let made = async {
        let connection = state.broker.create_connection(principal, new).await?.connection;
        state.broker.put_grants(principal, connection.id, grants).await?;
        Ok::<_, Refusal>(connection)
    };
    match made.await {
        Ok(connection) => {
            let address = Some(format!("/connections/{}", connection.id));
            Made { name: entry.name, address, text: connection.message }
        }
        Err(refusal) => {
            state.broker.record_refusal(principal, Operation::CreateConnection, &slug, &refusal).await;
            Made { name: entry.name, address: None, text: refusal.message }
        }
    }
}
