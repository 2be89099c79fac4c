//! How a connection's state, its times and the people who act on it are put into words.

use switchboard_broker::manage::ConnectionView;
use switchboard_domain::{Actor, AuthType, ConnectionStatus, CredentialMode, Principal, Timestamp};

/// A state as a person reads it.
pub(crate) struct State {
    pub(crate) word: String,
    /// The class of its look: `good`, `busy`, `ask`, `bad` or `off`.
    pub(crate) tone: &'static str,
    /// Says the same without colour.
    pub(crate) sign: &'static str,
}

impl State {
    pub(crate) fn of(connection: &ConnectionView) -> Self {
        use ConnectionStatus as S;
        let name = &connection.name;
        let (word, tone) = match connection.status {
            S::SetupIncomplete => ("Setup not finished".to_owned(), "ask"),
            S::Checking => ("Checking…".to_owned(), "busy"),
            S::NeedsClient => ("Needs an OAuth app".to_owned(), "ask"),
            S::NeedsConnection if takes_secret(connection.auth_type) => ("Needs a key".to_owned(), "ask"),
            S::NeedsConnection => ("Sign in".to_owned(), "ask"),
            S::Authorizing => (format!("Waiting for {name}…"), "busy"),
            S::Connected => ("Connected".to_owned(), "good"),
            S::Degraded => ("Connected, slow or partial".to_owned(), "ask"),
            S::ReauthRequired if takes_secret(connection.auth_type) => ("Needs a new key".to_owned(), "bad"),
            S::ReauthRequired => ("Sign in again".to_owned(), "bad"),
            S::Unreachable => (format!("Can't reach {name}"), "bad"),
            S::Error => (format!("{name} refused the request"), "bad"),
            S::Disabled => ("Off".to_owned(), "off"),
            S::Blocked => ("Blocked by policy".to_owned(), "bad"),
        };
        let sign = match tone {
            "good" => "✓",
            "busy" => "…",
            "ask" => "→",
            "off" => "–",
            _ => "!",
        };
        Self { word, tone, sign }
    }
}

/// The states to choose from, as a list is filtered by them.
pub(crate) const STATES: &[(ConnectionStatus, &str)] = &[
    (ConnectionStatus::Connected, "Connected"),
    (ConnectionStatus::NeedsConnection, "Needs a sign-in or a key"),
    (ConnectionStatus::ReauthRequired, "Sign in again"),
    (ConnectionStatus::NeedsClient, "Needs an OAuth app"),
    (ConnectionStatus::Authorizing, "Waiting for a sign-in"),
    (ConnectionStatus::Unreachable, "Can't be reached"),
    (ConnectionStatus::Error, "Refuses requests"),
    (ConnectionStatus::Blocked, "Blocked by policy"),
    (ConnectionStatus::Checking, "Checking"),
    (ConnectionStatus::SetupIncomplete, "Setup not finished"),
    (ConnectionStatus::Degraded, "Connected, slow or partial"),
    (ConnectionStatus::Disabled, "Off"),
];

/// The one thing to do about a state.
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) address: String,
    /// It changes something, so it is a form.
    pub(crate) is_form: bool,
    /// It leads to the provider, in a window of its own where there is JavaScript.
    pub(crate) signs_in: bool,
}

impl Step {
    /// What this person can do; `None` when it is somebody else's to act, or nobody's.
    pub(crate) fn of(connection: &ConnectionView, principal: &Principal, manages: bool) -> Option<Self> {
        use ConnectionStatus as S;
        let page = format!("/connections/{}", connection.id);
        let signs_in = may_sign_in(connection, principal, manages);
        let lacks_grant = manages && !connection.granted && !signs_in;
        let link = |label: &str, address: String| {
            Some(Self { label: label.to_owned(), address, is_form: false, signs_in: false })
        };
        let send = |label: &str, what: &str| {
            let address = format!("{page}/{what}");
            Some(Self { label: label.to_owned(), address, is_form: true, signs_in: false })
        };
        let sign_in = |label: String| {
            Some(Self { label, address: format!("{page}/connect"), is_form: false, signs_in: true })
        };
        let oauth = connection.auth_type == AuthType::OAuth;
        let name = &connection.name;
        match connection.status {
            S::NeedsConnection if oauth && signs_in => sign_in(format!("Sign in with {name}")),
            S::ReauthRequired if oauth && signs_in => sign_in(format!("Sign in with {name} again")),
            S::Authorizing if oauth && signs_in => sign_in("Open the sign-in again".to_owned()),
            S::NeedsConnection | S::ReauthRequired if connection.auth_type == AuthType::UserOidc => {
                link("Sign in through your organization", "/account/identities".to_owned())
            }
            S::NeedsConnection | S::ReauthRequired if lacks_grant => {
                link("Grant it to yourself", format!("{page}/access"))
            }
            S::NeedsConnection | S::ReauthRequired if signs_in => {
                link("Enter the key", format!("{page}#sign-in"))
            }
            S::NeedsClient if manages => link("Add the client ID", format!("{page}#sign-in")),
            S::SetupIncomplete if manages => link("Finish setting up", format!("{page}/settings")),
            S::Connected if manages => send("Check now", "check"),
            S::Unreachable if manages => send("Try again", "check"),
            S::Error | S::Degraded if manages => send("Check again", "check"),
            S::Blocked if manages => link("See why", page),
            S::Disabled if manages && !connection.read_only => send("Turn on", "enable"),
            _ => None,
        }
    }
}

/// With an account of their own, whoever it is granted to; with the one for all, whoever manages it.
pub(crate) fn may_sign_in(connection: &ConnectionView, principal: &Principal, manages: bool) -> bool {
    match connection.credential_mode {
        CredentialMode::PerMember => connection.granted && principal.member().is_some(),
        CredentialMode::Shared => manages,
    }
}

pub(crate) const fn takes_secret(auth_type: AuthType) -> bool {
    matches!(auth_type, AuthType::ApiKey | AuthType::Headers | AuthType::ClientCredentials)
}

/// Who has to act, to somebody who reads it.
pub(crate) const fn actor_in_words(actor: Actor, manages: bool) -> Option<&'static str> {
    match actor {
        Actor::Member => None,
        Actor::OrganizationAdmin if manages => None,
        Actor::OrganizationAdmin => Some("An admin of your organization"),
        Actor::Provider => Some("Whoever runs that server"),
        Actor::Operator => Some("The operator of this Switchboard"),
    }
}

/// An instant, to the eye and to the machine.
pub(crate) struct Moment {
    pub(crate) exact: String,
    pub(crate) words: String,
}

impl Moment {
    pub(crate) fn ago(at: Timestamp, now: Timestamp) -> Self {
        let seconds = now.since(at).as_secs();
        let plural =
            |count: u64, unit: &str| format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
        let words = match seconds {
            0..60 => "just now".to_owned(),
            60..3_600 => plural(seconds / 60, "minute"),
            3_600..86_400 => plural(seconds / 3_600, "hour"),
            86_400..2_592_000 => plural(seconds / 86_400, "day"),
            // A date says more than many days.
            _ => at.to_string().chars().take(10).collect(),
        };
        Self { exact: at.to_string(), words }
    }

    /// Of an end: when it will be, or when it was.
    pub(crate) fn of_end(at: Timestamp, now: Timestamp) -> Self {
        if at <= now {
            return Self::ago(at, now);
        }
        let seconds = at.since(now).as_secs();
        let plural =
            |count: u64, unit: &str| format!("in {count} {unit}{}", if count == 1 { "" } else { "s" });
        let words = match seconds {
            0..60 => "in less than a minute".to_owned(),
            60..3_600 => plural(seconds / 60, "minute"),
            3_600..86_400 => plural(seconds / 3_600, "hour"),
            _ => plural(seconds / 86_400, "day"),
        };
        Self { exact: at.to_string(), words }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let now = Timestamp::from_micros(1_795_000_000_000_000);
        let told = |seconds| Moment::ago(now.minus(Duration::from_secs(seconds)), now).words;
        assert_eq!(told(5), "just now");
        assert_eq!(told(60), "1 minute ago");
        assert_eq!(told(7_300), "2 hours ago");
        assert_eq!(told(90_000), "1 day ago");
        assert_eq!(told(90 * 86_400).len(), 10);
        let ends = |seconds| Moment::of_end(now.plus(Duration::from_secs(seconds)), now).words;
        assert_eq!(ends(30), "in less than a minute");
        assert_eq!(ends(60), "in 1 minute");
        assert_eq!(ends(7_300), "in 2 hours");
        assert_eq!(ends(0), "just now");
    }

    #[test]
    fn every_state_can_be_filtered_by() {
        for status in ConnectionStatus::ALL {
            assert!(STATES.iter().any(|(known, _)| known == status), "{}", status.as_str());
        }
    }
}
