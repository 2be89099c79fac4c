//! `/connections/new`: from a name or an address to a connection that somebody may use. Asking the server says what is
//! needed; only that is asked for. Opening the page asks nobody: looking a server up is a form.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde_json::Value;
use switchboard_broker::{
    SignedIn,
    connect::{Candidate, ResolveInput},
    manage::{ConnectionFilter, Operation, PageRequest, Refusal, RefusalKind, TeamSummary, Violation},
};
use switchboard_catalog::{find_known_servers, known_servers, known_servers_checked_at};
use switchboard_domain::AuthType;

use super::draft::{Accounts, Draft};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        capitalized,
        mark::Mark,
        navigation::Navigation,
        page,
        sign_in::not_the_form,
        unavailable,
    },
};

const PATH: &str = "/connections/new";

struct Tile {
    slug: &'static str,
    name: &'static str,
    mark: Mark,
    category: &'static str,
}

impl Tile {
    fn of(server: &&'static Value) -> Self {
        let name = server["name"].as_str().unwrap_or_default();
        let slug = server["slug"].as_str().unwrap_or_default();
        Self {
            slug,
            mark: Mark::of_known(name, slug),
            category: server["category"].as_str().unwrap_or_default(),
            name,
        }
    }
}

#[derive(Template)]
#[template(path = "connection_find.html")]
struct Find<'a> {
    navigation: Navigation,
    query: &'a str,
    problem: Option<String>,
    tiles: Vec<Tile>,
    is_part: bool,
    is_admin: bool,
    may_add: bool,
    checked_at: &'static str,
}

/// One of the four checks.
struct Check {
    /// `done`, `failed` or `open`.
    state: &'static str,
    title: &'static str,
    text: String,
}

/// A place in a known server's address that has to be filled.
struct Place {
    name: String,
    value: String,
}

#[derive(Template)]
#[template(path = "connection_new.html")]
struct New<'a> {
    navigation: Navigation,
    query: &'a str,
    draft: &'a Draft,
    /// Where nobody was found; empty where somebody was.
    asked: Vec<&'a str>,
    checks: Vec<Check>,
    places: Vec<Place>,
    note: Option<&'a str>,
    docs_url: Option<&'a str>,
    problem: Option<&'a str>,
    violations: &'a [Violation],
    teams: Vec<TeamSummary>,
    is_admin: bool,
    may_own: bool,
}

impl New<'_> {
    fn wrong(&self, path: &str) -> Option<&str> {
        let found = self.violations.iter().find(|violation| violation.path == path);
        found.map(|violation| violation.message.as_str())
    }

    fn is_shared(&self) -> bool {
        self.draft.accounts == Accounts::Shared
    }

    fn is_per_member(&self) -> bool {
        self.draft.accounts == Accounts::PerMember
    }

    fn is_mine(&self) -> bool {
        self.draft.accounts == Accounts::Mine
    }

    fn is_in(&self, team: &TeamSummary) -> bool {
        self.draft.teams.contains(&team.id.to_string())
    }
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let form_token = browser::form_token(&state, &headers);
    start(&state, &signed_in, &form_token, Asked::default()).await
}

/// What the first page says beside the list.
#[derive(Default)]
struct Asked<'a> {
    query: &'a str,
    problem: Option<String>,
    fits: Vec<&'static Value>,
}

async fn start(
    state: &ServerState,
    signed_in: &SignedIn,
    form_token: &str,
    asked: Asked<'_>,
) -> Response<Body> {
    let may_own = match may_own(state, signed_in).await {
        Ok(may_own) => may_own,
        Err(response) => return *response,
    };
    let is_part = !asked.fits.is_empty();
    let tiles: Vec<&Value> = if is_part { asked.fits } else { known_servers().iter().collect() };
    let mut tiles: Vec<Tile> = tiles.iter().map(Tile::of).collect();
    tiles.sort_by_key(|tile| tile.name.to_lowercase());
    let status = if asked.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let find = Find {
        navigation: Navigation::new(state, signed_in, form_token, PATH).await,
        query: asked.query,
        problem: asked.problem,
        tiles,
        is_part,
        is_admin: signed_in.principal.role.is_admin(),
        may_add: signed_in.principal.role.is_admin() || may_own,
        checked_at: known_servers_checked_at(),
    };
    page(status, &find)
}

/// Whether members may have connections of their own here.
async fn may_own(state: &ServerState, signed_in: &SignedIn) -> Result<bool, Box<Response<Body>>> {
    let organization = state.broker.read_organization(&signed_in.principal).await;
    organization.map(|organization| organization.settings.personal_connections).map_err(|refusal| {
        tracing::error!(%refusal, "an organization can't be read");
        Box::new(unavailable())
    })
}

pub(super) async fn submit(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read_repeating(&state, request, &["team"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    match sent.fields.get("step") {
        Some("create") => create(&state, &sent).await,
        Some(step) => match step.strip_prefix("auth:").and_then(AuthType::from_word) {
            Some(auth) => {
                let mut draft = Draft::read(&sent.fields);
                draft.authenticated_by(auth);
                shown(&state, &sent, &draft, None).await
            }
            None => not_the_form(),
        },
        None => find(&state, &sent).await,
    }
}

/// Looks a name or an address up, and asks what is there.
async fn find(state: &ServerState, sent: &Sent) -> Response<Body> {
    let query = sent.fields.get("query").unwrap_or_default().trim();
    let variables = sent.fields.secrets_below("variable.").into_iter();
    let variables = variables.map(|(name, value)| (name, value.expose().to_owned())).collect();
    let input = ResolveInput { query: query.to_owned(), variables };
    let found = match state.broker.resolve_now(&sent.signed_in.principal, &input).await {
        Ok(found) => found,
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => return unavailable(),
        Err(refusal) => {
            let asked = Asked { query, problem: Some(refusal.in_words().to_owned()), fits: Vec::new() };
            return start(state, &sent.signed_in, &sent.form_token, asked).await;
        }
    };
    let Some(candidate) = found.candidates.first() else {
        let problem = if found.matches.is_empty() {
            "Nothing is known by that name. Paste the address of its MCP endpoint: it is in the server's own \
             documentation and ends in /mcp as a rule."
        } else if find_known_servers(query).is_empty() {
            "Nothing is known by exactly that name. Did you mean one of these?"
        } else {
            "Several servers fit. Choose one."
        };
        let asked = Asked { query, problem: Some(problem.to_owned()), fits: found.matches };
        return start(state, &sent.signed_in, &sent.form_token, asked).await;
    };
    if candidate.reason == Some("address_refused") {
        // It would be refused again as a connection.
        let asked = Asked { query, problem: candidate.message.clone(), fits: Vec::new() };
        return start(state, &sent.signed_in, &sent.form_token, asked).await;
    }
    let known = known_of(query, candidate);
    let mut draft = Draft::found(candidate, known);
    if let Some(free) = free_slug(state, &sent.signed_in, &draft.slug).await {
        draft.slug = free;
    }
    if !sent.signed_in.principal.role.is_admin() {
        draft.accounts = Accounts::Mine;
    }
    let asked = if candidate.found { Vec::new() } else { asked(&found.candidates) };
    let facts = Facts { query, known, checks: checks(candidate), asked, ..Facts::default() };
    render(state, sent, &draft, facts).await
}

/// What is known of a server: by its name, or by its exact address.
fn known_of(query: &str, candidate: &Candidate) -> Option<&'static Value> {
    let is = |value: &Value| value.as_str().is_some_and(|it| it.eq_ignore_ascii_case(query));
    known_servers()
        .iter()
        .find(|server| is(&server["slug"]) || is(&server["name"]) || server["url"] == candidate.url.as_str())
}

/// The first of `linear`, `linear-2`, … that no visible connection has.
pub(super) async fn free_slug(state: &ServerState, signed_in: &SignedIn, slug: &str) -> Option<String> {
    let filter = ConnectionFilter { text: Some(slug.to_owned()), ..ConnectionFilter::default() };
    let all = PageRequest { limit: Some(200), cursor: None };
    let taken = state.broker.find_connections(&signed_in.principal, &filter, &all).await.ok()?.items;
    let numbered = (2..200).map(|number| format!("{slug}-{number}"));
    std::iter::once(slug.to_owned())
        .chain(numbered)
        .find(|slug| taken.iter().all(|connection| connection.slug != *slug))
}

fn checks(candidate: &Candidate) -> Vec<Check> {
    let message = candidate.message.clone().unwrap_or_default();
    let finds = if candidate.found {
        Check { state: "done", title: "Finds it", text: format!("{} answers.", candidate.url) }
    } else {
        Check { state: "failed", title: "Finds it", text: capitalized(&message) }
    };
    let issuer = candidate.issuer.as_deref().unwrap_or_default();
    let (state, text) = match (candidate.auth_type, candidate.registration) {
        _ if !candidate.found => ("open", "Known once it answers.".to_owned()),
        (Some(AuthType::None), _) => ("done", "It asks for no account.".to_owned()),
        (Some(AuthType::OAuth), Some("static")) => (
            "done",
            format!(
                "People sign in at {issuer}. It takes only clients that somebody makes there: once added, the next page \
                 shows the address to enter there and asks for the client ID."
            ),
        ),
        (Some(AuthType::OAuth), Some(_)) => {
            ("done", format!("People sign in at {issuer}. Switchboard makes itself known there."))
        }
        (Some(AuthType::OAuth), None) | (None, _) => ("failed", message),
        (Some(_), _) => ("done", "It wants a key.".to_owned()),
    };
    let knows = Check { state, title: "Knows how you sign in", text };
    let (signs_in, tools) = match candidate.auth_type {
        Some(AuthType::None) if candidate.found => {
            ("There is nothing to sign in to.", "Listed as soon as it is added.")
        }
        Some(AuthType::OAuth) => {
            ("The last step: a window of the provider.", "Listed as soon as you are signed in.")
        }
        _ => ("With the key below.", "Listed as soon as it is added."),
    };
    let state = if candidate.found && candidate.auth_type == Some(AuthType::None) { "done" } else { "open" };
    vec![
        finds,
        knows,
        Check { state, title: "Signs in", text: signs_in.to_owned() },
        Check { state: "open", title: "Has tools", text: tools.to_owned() },
    ]
}

/// The addresses at which nobody was found, each once: the same one is asked over both transports.
fn asked(candidates: &[Candidate]) -> Vec<&str> {
    let mut asked: Vec<&str> = candidates.iter().map(|candidate| candidate.url.as_str()).collect();
    asked.dedup();
    asked
}

/// What the page says beside the form.
#[derive(Default)]
struct Facts<'a> {
    query: &'a str,
    asked: Vec<&'a str>,
    known: Option<&'static Value>,
    checks: Vec<Check>,
    refusal: Option<&'a Refusal>,
}

/// The form again, with what was typed.
async fn shown(state: &ServerState, sent: &Sent, draft: &Draft, refusal: Option<&Refusal>) -> Response<Body> {
    let query = sent.fields.get("query").unwrap_or_default();
    let known = known_servers().iter().find(|server| server["url"] == draft.url.as_str());
    render(state, sent, draft, Facts { query, known, refusal, ..Facts::default() }).await
}

async fn render(state: &ServerState, sent: &Sent, draft: &Draft, facts: Facts<'_>) -> Response<Body> {
    let is_admin = sent.signed_in.principal.role.is_admin();
    let may_own = match may_own(state, &sent.signed_in).await {
        Ok(may_own) => may_own,
        Err(response) => return *response,
    };
    let all = PageRequest { limit: Some(200), cursor: None };
    let teams = match state.broker.find_teams(&sent.signed_in.principal, &all).await {
        Ok(teams) => teams.items,
        Err(_) => Vec::new(),
    };
    let known = |name: &str| facts.known.and_then(|known| known[name].as_str());
    let new = New {
        navigation: Navigation::new(state, &sent.signed_in, &sent.form_token, PATH).await,
        query: facts.query,
        draft,
        asked: facts.asked,
        checks: facts.checks,
        places: known("url_template").map(|template| places(template, sent)).unwrap_or_default(),
        note: known("notes"),
        docs_url: known("docs_url"),
        problem: facts.refusal.map(Refusal::in_words),
        violations: facts.refusal.map(|refusal| refusal.violations.as_slice()).unwrap_or_default(),
        teams,
        is_admin,
        may_own,
    };
    let status = match facts.refusal.map(|refusal| refusal.kind) {
        None => StatusCode::OK,
        Some(RefusalKind::Conflict) => StatusCode::CONFLICT,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    page(status, &new)
}

/// The names in braces; an address that is only hinted at has none.
fn places(template: &str, sent: &Sent) -> Vec<Place> {
    if template.contains("...") {
        return Vec::new();
    }
    let names = template.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name));
    let value = |name: &str| sent.fields.get(&format!("variable.{name}")).unwrap_or_default().to_owned();
    names.map(|name| Place { name: name.to_owned(), value: value(name) }).collect()
}

/// Makes it, grants it, and leads to its page: what comes next is there.
async fn create(state: &ServerState, sent: &Sent) -> Response<Body> {
    let draft = Draft::read(&sent.fields);
    let principal = &sent.signed_in.principal;
    let wanted = async {
        let grants = draft.grants(sent.signed_in.member)?;
        let new = draft.connection(&sent.fields)?;
        let created = state.broker.create_connection(principal, new).await?;
        Ok::<_, Refusal>((created.connection, grants))
    };
    let (connection, grants) = match wanted.await {
        Ok(made) => made,
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => return unavailable(),
        Err(refusal) => {
            let operation = match draft.accounts {
                Accounts::Mine => Operation::CreatePersonalConnection,
                _ => Operation::CreateConnection,
            };
            state.broker.record_refusal(principal, operation, &draft.slug, &refusal).await;
            return shown(state, sent, &draft, Some(&refusal)).await;
        }
    };
    let address = format!("/connections/{}", connection.id);
    if draft.accounts == Accounts::Mine {
        return browser::see_other(&address);
    }
    match state.broker.put_grants(principal, connection.id, grants).await {
        Ok(_) => browser::see_other(&address),
        Err(refusal) => {
            // It is there, and for nobody: the page on which that is put right says so.
            tracing::warn!(%refusal, connection = %connection.slug, "a new connection can't be granted");
            browser::see_other(&format!("{address}/access"))
        }
    }
}
