//! `/system`: how the installation is, read-only, for owners; and, when they ask for them, the operator's own checks.

use std::time::Duration;

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::{SignedIn, manage::SystemView};
use switchboard_catalog::displayed;

use super::{SYSTEM, Tab, tabs};
use crate::{
    Grade, ServerState, browser,
    ui::{
        account::{Sent, person},
        connections::words::Moment,
        navigation::Navigation,
        page,
        refused::refused,
    },
};

/// A large database takes longer to be looked through than a page may.
const PATIENCE: Duration = Duration::from_secs(45);
const TEXT: usize = 600;

struct Finding {
    name: &'static str,
    text: String,
    /// `good`, `ask` or `bad`.
    tone: &'static str,
}

impl Finding {
    const fn sign(&self) -> &'static str {
        match self.tone.as_bytes() {
            b"good" => "✓",
            b"ask" => "→",
            _ => "!",
        }
    }

    const fn word(&self) -> &'static str {
        match self.tone.as_bytes() {
            b"good" => "Good",
            b"ask" => "Look at it",
            _ => "Failing",
        }
    }
}

#[derive(Template)]
#[template(path = "system.html")]
struct System {
    navigation: Navigation,
    tabs: Vec<Tab>,
    version: &'static str,
    public_url: String,
    at: String,
    findings: Vec<Finding>,
    /// Whether the checks can be made from here.
    has_doctor: bool,
    examined: Examined,
}

/// What became of the operator's checks.
#[derive(Default)]
enum Examined {
    #[default]
    NotAsked,
    Found(Vec<Finding>),
    /// Why there is nothing to show.
    Not(&'static str),
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let form_token = browser::form_token(&state, &headers);
    render(&state, (&signed_in, &form_token), Examined::NotAsked).await
}

async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    examined: Examined,
) -> Response<Body> {
    let found = match state.broker.read_system(&signed_in.principal).await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let system = System {
        navigation: Navigation::new(state, signed_in, form_token, SYSTEM).await,
        tabs: tabs(SYSTEM, true),
        version: env!("CARGO_PKG_VERSION"),
        public_url: state.config.origin().to_owned(),
        at: found.at.to_string().chars().take(19).collect::<String>().replace('T', " "),
        findings: findings(state, &found),
        has_doctor: state.config.doctor.is_some(),
        examined,
    };
    page(StatusCode::OK, &system)
}

/// Makes the checks and shows what they found. They change nothing.
pub(super) async fn examine(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    if let Err(refusal) = state.broker.read_system(&sent.signed_in.principal).await {
        return refused(&refusal);
    }
    let examined = match &state.config.doctor {
        None => Examined::NotAsked,
        Some(doctor) => match tokio::time::timeout(PATIENCE, doctor.examine()).await {
            Ok(Some(found)) => Examined::Found(found.into_iter().map(of_doctor).collect()),
            Ok(None) => Examined::Not("The checks are being made for somebody else. Try again in a moment."),
            Err(_) => Examined::Not(
                "The checks take longer than a page waits: a large database is looked through whole. \
                 Run `switchboard doctor` on the machine.",
            ),
        },
    };
    render(&state, (&sent.signed_in, &sent.form_token), examined).await
}

fn of_doctor(found: crate::Finding) -> Finding {
    let tone = match found.grade {
        Grade::Ok => "good",
        Grade::Warn => "ask",
        Grade::Fail => "bad",
    };
    Finding { name: found.check, text: displayed(&found.text, TEXT), tone }
}

fn findings(state: &ServerState, found: &SystemView) -> Vec<Finding> {
    let when = |good: bool| if good { "good" } else { "bad" };
    let ask = |good: bool| if good { "good" } else { "ask" };
    let SystemView { database, schema_applied, schema_known, connections, connected, .. } = found;
    let signed = found.heads_signed_at.map_or_else(
        || "The ends of its chains were not signed yet".to_owned(),
        |at| format!("The ends of its chains were last signed {}", Moment::ago(at, found.at).words),
    );
    let is_https = state.config.public_url.scheme() == "https";
    let address = if is_https {
        "People and AI clients reach it by https"
    } else {
        "It is not https: AI clients that run in their maker's cloud can't reach it, and what goes over the network can be read"
    };
    vec![
        Finding {
            name: "Database",
            text: format!(
                "{database} {}",
                if found.database_answers { "answers" } else { "does not answer" }
            ),
            tone: when(found.database_answers),
        },
        Finding {
            name: "Migrations",
            text: format!("{schema_applied} of {schema_known} applied"),
            tone: when(schema_applied == schema_known),
        },
        Finding {
            name: "Calls",
            text: if found.is_current {
                "What calls know is up to date".to_owned()
            } else {
                "What calls know is not up to date, so calls are refused".to_owned()
            },
            tone: when(found.is_current),
        },
        Finding { name: "Audit log", text: signed, tone: ask(found.heads_signed_at.is_some()) },
        Finding {
            name: "Connections",
            text: format!("{connected} of {connections} that are on work"),
            tone: ask(connected == connections),
        },
        Finding {
            name: "Webhooks",
            text: match found.webhooks_failing {
                0 => "None of those that are on fails".to_owned(),
                count => format!("{count} can't deliver"),
            },
            tone: ask(found.webhooks_failing == 0),
        },
        Finding { name: "Address", text: address.to_owned(), tone: ask(is_https) },
    ]
}
