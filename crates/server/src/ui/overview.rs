//! `/overview`: where admins begin. What is still to be set up while something is; then how the organization stands.

use askama::Template;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::manage::{AilingConnection, Calls, OverviewView, Refusal, RefusalKind};
use switchboard_domain::ConnectionStatus;

use super::{
    account::person, connections::words::STATES, navigation::Navigation, no_page, page, unavailable,
};
use crate::{ServerState, browser};

pub(super) const PATH: &str = "/overview";

/// Connections that are listed by name.
const AILING: usize = 10;
/// Hours of one bar.
const BAR_HOURS: usize = 4;
const BAR_HEIGHT: i64 = 72;

/// One step of setting up.
struct StepToDo {
    title: &'static str,
    text: String,
    is_done: bool,
    link: Option<(&'static str, &'static str)>,
}

/// A bar of the chart, from the bottom: what went well, what waited for somebody, what did not go well.
struct Bar {
    x: usize,
    /// What it is of, where it begins, how high it is.
    parts: Vec<(&'static str, i64, i64)>,
}

struct Ailing {
    connection: AilingConnection,
    word: &'static str,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    navigation: Navigation,
    organization: String,
    /// None once all is done.
    steps: Option<Vec<StepToDo>>,
    left: usize,
    states: Vec<(&'static str, &'static str, usize)>,
    ailing: Vec<Ailing>,
    more: usize,
    seen: OverviewView,
    day: Calls,
    week: Calls,
    bars: Vec<Bar>,
    most: i64,
    bar_hours: usize,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let principal = &signed_in.principal;
    let found = async {
        let seen = state.broker.read_overview(principal).await?;
        let organization = state.broker.read_organization(principal).await?;
        Ok::<_, Refusal>((seen, organization.name))
    };
    let (mut seen, organization) = match found.await {
        Ok(found) => found,
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => return unavailable(),
        Err(_) => return no_page(),
    };
    if seen.has_call {
        state.broker.prepare_call_charts(&signed_in.principal);
    }
    let steps = steps(&state, &seen, &organization);
    let left = steps.iter().filter(|step| !step.is_done).count();
    let (bars, most) = bars(&seen.hours);
    let form_token = browser::form_token(&state, &headers);
    let ailing: Vec<AilingConnection> = std::mem::take(&mut seen.ailing);
    let shown = Overview {
        navigation: Navigation::new(&state, &signed_in, &form_token, PATH).await,
        organization,
        // The first call is the last step: whoever got there has no use for a list.
        steps: (!seen.has_call).then_some(steps),
        left,
        states: states(&seen),
        more: ailing.len().saturating_sub(AILING),
        ailing: ailing.into_iter().take(AILING).map(named).collect(),
        day: seen.calls(24),
        week: seen.calls(seen.hours.len()),
        bars,
        most,
        bar_hours: BAR_HOURS,
        seen,
    };
    page(StatusCode::OK, &shown)
}

fn word_of(status: ConnectionStatus) -> &'static str {
    STATES.iter().find(|(known, _)| *known == status).map_or("", |(_, word)| *word)
}

fn named(connection: AilingConnection) -> Ailing {
    Ailing { word: word_of(connection.status), connection }
}

/// As a list of connections is filtered by them, with how many there are.
fn states(seen: &OverviewView) -> Vec<(&'static str, &'static str, usize)> {
    let count = |status: ConnectionStatus| seen.by_status.get(status.as_str()).copied().unwrap_or(0);
    let all = STATES.iter().map(|(status, word)| (status.as_str(), *word, count(*status)));
    all.filter(|(.., count)| *count > 0).collect()
}

fn steps(state: &ServerState, seen: &OverviewView, organization: &str) -> Vec<StepToDo> {
    let url = &state.config.public_url;
    let is_public = url.scheme() == "https";
    let address = if is_public {
        format!("{url} is where people and clients reach it.")
    } else {
        format!(
            "{url} works on this machine alone. For others, and for claude.ai or ChatGPT, the operator sets \
             SWITCHBOARD_PUBLIC_URL to an https address."
        )
    };
    vec![
        StepToDo {
            title: "An owner, and a name",
            text: format!("{organization} has both."),
            is_done: true,
            link: None,
        },
        StepToDo { title: "An address", text: address, is_done: is_public, link: None },
        StepToDo {
            title: "A first connection",
            text: match seen.connections {
                0 => {
                    "Pick a known server, or paste the address of one. Context7 needs no account.".to_owned()
                }
                1 => "One server was added.".to_owned(),
                count => format!("{count} servers were added."),
            },
            is_done: seen.connections > 0,
            link: (seen.connections == 0).then_some(("/connections/new", "Add a server")),
        },
        StepToDo {
            title: "An AI client",
            text: if seen.has_client {
                "A client was allowed.".to_owned()
            } else {
                "Give it the one address; it opens a page here, on which you allow it.".to_owned()
            },
            is_done: seen.has_client,
            link: (!seen.has_client).then_some(("/connect-client", "Connect a client")),
        },
        StepToDo {
            title: "A first call",
            text: "Ask your client for something that a server can do, or run a tool here by hand."
                .to_owned(),
            is_done: seen.has_call,
            link: (!seen.has_call && seen.connections > 0).then_some(("/tools", "Run a tool")),
        },
    ]
}

/// Bars of a few hours each, and the number that the highest stands for.
fn bars(hours: &[Calls]) -> (Vec<Bar>, i64) {
    let sums: Vec<Calls> = hours
        .chunks(BAR_HOURS)
        .map(|chunk| {
            let mut sum = Calls::default();
            chunk.iter().for_each(|calls| sum += *calls);
            sum
        })
        .collect();
    let most = sums.iter().map(|sum| sum.all()).max().unwrap_or(0);
    let height = |calls: i64| match (calls, most) {
        (0, _) | (_, 0) => 0,
        // What happened is never invisible.
        _ => (calls * BAR_HEIGHT / most).max(2),
    };
    let bars = sums.iter().enumerate().map(|(index, sum)| {
        let counts = [("ok", sum.ok), ("held", sum.held), ("failed", sum.failed + sum.refused)];
        let mut top = BAR_HEIGHT + 4;
        let parts = counts.into_iter().filter(|(_, calls)| *calls > 0).map(|(of, calls)| {
            top -= height(calls);
            (of, top, height(calls))
        });
        Bar { x: index * 10, parts: parts.collect() }
    });
    (bars.collect(), most)
}

impl Overview {
    fn width(&self) -> usize {
        self.bars.len() * 10
    }
}
