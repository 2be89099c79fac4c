//! `/system`: how the installation is, read-only, for owners.

use askama::Template;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::manage::SystemView;

use super::{SYSTEM, Tab, tabs};
use crate::{
    ServerState, browser,
    ui::{account::person, connections::words::Moment, navigation::Navigation, page, refused::refused},
};

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
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let found = match state.broker.read_system(&signed_in.principal).await {
        Ok(found) => found,
        Err(refusal) => return refused(&refusal),
    };
    let form_token = browser::form_token(&state, &headers);
    let system = System {
        navigation: Navigation::new(&state, &signed_in, &form_token, SYSTEM).await,
        tabs: tabs(SYSTEM, true),
        version: env!("CARGO_PKG_VERSION"),
        public_url: state.config.origin().to_owned(),
        at: found.at.to_string().chars().take(19).collect::<String>().replace('T', " "),
        findings: findings(&state, &found),
    };
    page(StatusCode::OK, &system)
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
