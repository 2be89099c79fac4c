//! `/connections/{id}`: how it is, what is in the way, and signing in.

use std::collections::HashMap;

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::manage::{ConnectionView, MemberHeader, PageRequest, Refusal};
use switchboard_domain::{AuthType, ClientRegistration, ConnectionStatus, MemberId, Rollout, Stage};

use super::{
    frame::{Head, Subject, refused, status_of},
    words::{Moment, Step, actor_in_words, may_sign_in, takes_secret},
};
use crate::{
    ServerState,
    ui::{navigation::Navigation, scripted},
};

/// Who is connected, on one page.
const SHOWN: usize = 50;

struct Check {
    /// `done`, `failed` or `open`.
    state: &'static str,
    title: &'static str,
}

/// Somebody whose account is stored.
struct Person {
    name: String,
    health: &'static str,
    since: Moment,
}

/// The client that the provider knows us as, where an admin makes it there.
struct Client {
    id: String,
    has_secret: bool,
    /// Of the private key that it proves itself with.
    public_key: Option<String>,
    is_needed: bool,
}

#[derive(Template)]
#[template(path = "connection.html")]
struct Overview<'a> {
    navigation: Navigation,
    head: Head,
    connection: &'a ConnectionView,
    problem: Option<&'a str>,
    owner: Option<&'static str>,
    since: Option<Moment>,
    checked: Option<Moment>,
    step: Option<Step>,
    checks: Vec<Check>,
    duration: Option<u64>,
    client: Option<Client>,
    /// Headers to give a value for, or none: then it is one key.
    wants: Option<Vec<MemberHeader>>,
    people: Vec<Person>,
    has_more_people: bool,
    manages: bool,
    is_per_member: bool,
    may_disconnect: bool,
    is_busy: bool,
    is_staged: bool,
    /// It works for whoever looks, and has tools: what comes next is using them.
    is_usable: bool,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    match Subject::find(&state, &headers, &uri, &id).await {
        Ok(subject) => render(&state, &subject, None).await,
        Err(response) => *response,
    }
}

/// `refusal`: why a form on it was not taken.
pub(super) async fn render(
    state: &ServerState,
    subject: &Subject,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let connection = &subject.connection;
    let manages = subject.manages();
    let own = subject.has_own_account();
    let signs_in = may_sign_in(connection, &subject.signed_in.principal, manages);
    let (people, has_more_people) = match people(state, subject).await {
        Ok(people) => people,
        Err(refusal) => return refused(&refusal),
    };
    let busy = [ConnectionStatus::Checking, ConnectionStatus::Authorizing];
    let gives = takes_secret(connection.auth_type) && connection.auth_type != AuthType::ClientCredentials;
    let shown = Overview {
        navigation: subject.navigation(state).await,
        head: subject.head(""),
        problem: refusal.map(Refusal::in_words),
        // Whoever reads it sees what they can do.
        owner: connection.action_owner.and_then(|actor| actor_in_words(actor, manages)),
        since: connection.since.map(|at| Moment::ago(at, state.broker.clock().now())),
        checked: connection.checked_at.map(|at| Moment::ago(at, state.broker.clock().now())),
        step: Step::of(connection, &subject.signed_in.principal, manages)
            // What is on this very page needs no link.
            .filter(|step| step.is_form || step.address != subject.address() && !step.address.contains('#')),
        checks: if manages { checks(connection) } else { Vec::new() },
        duration: connection.diagnosis.as_ref().map(|diagnosis| diagnosis.duration_ms),
        client: client(connection).filter(|_| manages),
        wants: (gives && signs_in).then(|| wants(connection)),
        people,
        has_more_people,
        manages,
        is_per_member: own,
        may_disconnect: connection.has_credential
            && connection.auth_type != AuthType::UserOidc
            && (own || manages),
        is_busy: busy.contains(&connection.status),
        is_staged: connection.rollout == Rollout::Staged,
        is_usable: [ConnectionStatus::Connected, ConnectionStatus::Degraded].contains(&connection.status)
            && connection.granted
            && connection.tools_count > 0,
        connection,
    };
    scripted(status_of(refusal), &shown)
}

/// The four questions, as far as a check has answered them: nothing is ticked that was not tried.
fn checks(connection: &ConnectionView) -> Vec<Check> {
    use ConnectionStatus as S;
    let titles = ["Finds it", "Knows how you sign in", "Signs in", "Has tools"];
    let failed_at =
        connection.diagnosis.as_ref().and_then(|diagnosis| diagnosis.failed).map(|stage| match stage {
            Stage::NameResolution | Stage::Tcp | Stage::Tls | Stage::Http => 0,
            Stage::Auth if connection.has_credential || connection.auth_type != AuthType::OAuth => 2,
            Stage::Auth => 1,
            Stage::Mcp | Stage::Tools => 3,
        });
    let was_checked = connection.checked_at.is_some();
    // How many passed, and whether the next one failed or was not tried.
    let (passed, failed) = match connection.status {
        S::Connected | S::Degraded => (4, false),
        S::NeedsConnection | S::Authorizing if was_checked => (2, false),
        S::ReauthRequired => (2, true),
        S::NeedsClient => (1, true),
        S::Unreachable | S::Error | S::Blocked => (failed_at.unwrap_or(0), true),
        _ => (0, false),
    };
    let state = |index: usize| match index {
        _ if index < passed => "done",
        _ if index == passed && failed => "failed",
        _ => "open",
    };
    titles.into_iter().enumerate().map(|(index, title)| Check { state: state(index), title }).collect()
}

/// `None` where nobody signs in at a provider.
fn client(connection: &ConnectionView) -> Option<Client> {
    let oauth = connection.oauth.as_ref()?;
    Some(Client {
        id: oauth.client_id.clone().unwrap_or_default(),
        has_secret: oauth.has_client_secret,
        public_key: oauth.public_key.as_ref().and_then(|key| serde_json::to_string_pretty(key).ok()),
        is_needed: connection.status == ConnectionStatus::NeedsClient
            || oauth.registration == ClientRegistration::Static,
    })
}

fn wants(connection: &ConnectionView) -> Vec<MemberHeader> {
    if connection.auth_type != AuthType::Headers {
        return Vec::new();
    }
    if !connection.member_headers.is_empty() {
        return connection.member_headers.clone();
    }
    let names = connection.header_names.iter().flatten();
    names.map(|name| MemberHeader { name: name.clone(), description: String::new() }).collect()
}

/// Who signed in with an account of their own. Their tokens are nobody's to see, admins' neither.
async fn people(state: &ServerState, subject: &Subject) -> Result<(Vec<Person>, bool), Refusal> {
    let principal = &subject.signed_in.principal;
    if !principal.role.is_admin() || !subject.has_own_account() {
        return Ok((Vec::new(), false));
    }
    let page = PageRequest { limit: Some(SHOWN), cursor: None };
    let stored = state.broker.list_credentials_of(principal, subject.connection.id, &page).await?;
    let now = state.broker.clock().now();
    let ids: Vec<MemberId> = stored.items.iter().filter_map(|credential| credential.member).collect();
    let members = state.broker.read_members(principal, &ids).await?;
    let mut names: HashMap<MemberId, String> =
        members.into_iter().map(|member| (member.id, member.email)).collect();
    let mut people = Vec::new();
    for credential in stored.items {
        let Some(name) = credential.member.and_then(|member| names.remove(&member)) else { continue };
        people.push(Person {
            name,
            health: match credential.health {
                "healthy" => "connected",
                "reauth_required" => "has to sign in again",
                _ => "can't be read any more: has to sign in again",
            },
            since: Moment::ago(credential.updated_at, now),
        });
    }
    Ok((people, stored.next_cursor.is_some()))
}
