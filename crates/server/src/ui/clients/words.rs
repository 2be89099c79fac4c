//! Clients and the steps of their sign-in, in words.

use switchboard_broker::{
    Attempt, Trail,
    manage::{HistoryStep, OauthClientView},
};
use switchboard_domain::Timestamp;
use url::Url;

use crate::ui::connections::words::Moment;

/// How it is known to us.
pub(super) fn kind(client: &OauthClientView) -> &'static str {
    match client.kind {
        "dynamic" => "registered itself: nobody checked its name",
        "document" => "publishes a document about itself",
        "static" => "made by an admin",
        "first_party" => "the command line of Switchboard",
        _ => "a client",
    }
}

/// What it is called, or at least what it is.
pub(super) fn name(client: &OauthClientView) -> String {
    if client.name.is_empty() { "A client without a name".to_owned() } else { client.name.clone() }
}

/// The host that vouches for a client with a document.
pub(super) fn published_at(client: &OauthClientView) -> Option<String> {
    let url = (client.kind == "document").then(|| Url::parse(&client.client_id).ok()).flatten()?;
    url.host_str().map(str::to_owned)
}

/// One step on the line.
pub(super) struct Mark {
    pub(super) text: String,
    pub(super) at: Option<Moment>,
    /// `done`, `failed` or `open`.
    pub(super) state: &'static str,
    pub(super) note: Option<String>,
}

pub(super) fn mark(step: &HistoryStep, now: Timestamp) -> Mark {
    let text = match (step.step, step.refused.is_some()) {
        ("challenged", _) => "Was told to sign in (401)",
        ("resource_metadata", _) => "Read what protects the address",
        ("server_metadata", _) => "Read how to sign in",
        ("registered", _) => "Registered itself",
        ("asked", _) => "Sent its person here",
        ("consent", _) => "Was allowed by its person",
        ("deny", _) => "Was denied by its person",
        ("token", false) => "Got its token",
        ("token", true) => "Was refused a token",
        ("first_use", _) => "Came with its token for the first time",
        ("replay", _) => "Something was used twice: all of it was ended",
        ("revoke", _) => "Gave its token back",
        _ => "Ended",
    };
    let is_bad = step.refused.is_some() || step.step == "replay";
    Mark {
        text: text.to_owned(),
        at: Some(Moment::ago(step.at, now)),
        state: if is_bad { "failed" } else { "done" },
        note: step.refused.as_deref().and_then(advice).map(str::to_owned),
    }
}

/// What a refused step means, and who can do something.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "access_denied" => "The person pressed Deny.",
        "wrong_verifier" => {
            "The code came from another program than the one that asked (PKCE). Sign in again; if it stays, the client is at fault."
        }
        "wrong_redirect_uri" => "It named another redirect address than before. The client is at fault.",
        "code_expired" => {
            "It came later than a minute after the consent. Sign in again, and look at the clock of its machine."
        }
        "wrong_client" => "Another client brought the code.",
        "grant_over" => "What was allowed had ended: the member, the client or the consent is gone.",
        _ => return None,
    })
}

/// How far an attempt got that stopped, and what to look at.
pub(super) struct Stopped {
    pub(super) marks: Vec<Mark>,
    pub(super) advice: &'static str,
}

impl Stopped {
    pub(super) fn of(attempt: &Attempt, now: Timestamp) -> Self {
        let Trail { challenged_at, resource_metadata_at, server_metadata_at, registered_at, asked_at } =
            attempt.trail;
        let all = [
            ("Was told to sign in (401)", challenged_at),
            ("Read what protects the address", resource_metadata_at),
            ("Read how to sign in", server_metadata_at),
            ("Registered itself", registered_at),
            ("Sent its person here", asked_at),
        ];
        let marks = all.into_iter().filter_map(|(text, at)| {
            let at = Moment::ago(at?, now);
            Some(Mark { text: text.to_owned(), at: Some(at), state: "done", note: None })
        });
        let mut marks: Vec<Mark> = marks.collect();
        let open = |text: &str| Mark { text: text.to_owned(), at: None, state: "open", note: None };
        let advice = if asked_at.is_some() {
            marks.push(open("Its person allows it"));
            "Nobody pressed Allow, or the client never came back with what it got. Sign in again from the client."
        } else if registered_at.is_some() {
            marks.push(open("Sends its person here"));
            "It knows how, but no browser came. Look at the client: it should have opened a page."
        } else if server_metadata_at.is_some() || resource_metadata_at.is_some() {
            marks.push(open("Registers itself, or names its document"));
            "It read how to sign in and went no further. It may want a client that an admin makes for it."
        } else {
            marks.push(open("Reads how to sign in"));
            "It did not ask how to sign in. It may not speak OAuth: give it a token, or look whether a proxy keeps              /.well-known from it."
        };
        Self { marks, advice }
    }
}
