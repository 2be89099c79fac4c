//! A connection that is being written: what was found out, what was typed, what is still missing. It travels with the
//! form, and nothing of it is believed: creating looks at everything again.

use std::collections::BTreeMap;

use serde_json::Value;
use switchboard_broker::{
    connect::Candidate,
    manage::{ApiKeyInput, GrantsInput, NewConnection, OwnerWord, Refusal},
};
use switchboard_catalog::host_of;
use switchboard_domain::{AuthType, CredentialMode, MemberId, SecretValue, Slug, TeamId, Transport};

use crate::browser::Fields;

/// Whose account a connection uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Accounts {
    #[default]
    Shared,
    PerMember,
    /// A personal connection.
    Mine,
}

impl Accounts {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::PerMember => "per_member",
            Self::Mine => "mine",
        }
    }

    fn from_word(word: &str) -> Self {
        [Self::PerMember, Self::Mine].into_iter().find(|it| it.as_str() == word).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) url: String,
    pub(super) transport: String,
    pub(super) auth: String,
    /// Where an API key goes.
    pub(super) header: String,
    pub(super) scheme: String,
    pub(super) accounts: Accounts,
    /// `everyone`, `teams` or `me`.
    pub(super) who: String,
    pub(super) teams: Vec<String>,
}

impl Draft {
    /// From what answered and what is known of it.
    pub(super) fn found(candidate: &Candidate, known: Option<&Value>) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let host = host_of(&candidate.url).unwrap_or_default();
        let name = match (known, &candidate.server_name) {
            (Some(known), _) => text(&known["name"]),
            (None, Some(name)) => name.clone(),
            (None, None) => host.to_owned(),
        };
        let known_auth = known.and_then(|known| AuthType::from_word(known["auth"].as_str()?));
        let auth = candidate.auth_type.or(known_auth).unwrap_or(AuthType::OAuth);
        // An address says nothing about who is there; what a server calls itself may.
        let particular = if is_numeric(host) { candidate.server_name.as_deref() } else { Some(host) };
        let slug = particular.and_then(|name| name.rsplit('/').next()).map(slug_of);
        let mut draft = Self {
            slug: known.map_or_else(|| slug.unwrap_or_else(|| slug_of(host)), |known| text(&known["slug"])),
            name,
            url: candidate.url.clone(),
            transport: candidate.transport.as_str().to_owned(),
            ..Self::default()
        };
        let key = known
            .map(|known| if known["api_key"].is_object() { &known["api_key"] } else { &known["alt_auth"] });
        if let Some(key) = key.filter(|key| key["header"].is_string()) {
            draft.header = text(&key["header"]);
            let scheme = key["format"].as_str().and_then(|format| format.split_once(' '));
            draft.scheme = scheme.map(|(scheme, _)| scheme.to_owned()).unwrap_or_default();
        }
        draft.authenticated_by(auth);
        draft
    }

    /// Another way to authenticate, with what usually goes with it: people's own accounts where they sign in, and an
    /// account that is shared for nobody else until somebody says so.
    pub(super) fn authenticated_by(&mut self, auth: AuthType) {
        self.auth = auth.as_str().to_owned();
        if auth == AuthType::ApiKey && self.header.is_empty() {
            (self.header, self.scheme) = ("Authorization".to_owned(), "Bearer".to_owned());
        }
        let (accounts, who) = match auth {
            AuthType::OAuth => (Accounts::PerMember, "everyone"),
            AuthType::None => (Accounts::Shared, "everyone"),
            _ => (Accounts::Shared, "me"),
        };
        if self.accounts != Accounts::Mine {
            (self.accounts, self.who) = (accounts, who.to_owned());
        }
    }

    pub(super) fn read(fields: &Fields) -> Self {
        let text = |name: &str| fields.get(name).unwrap_or_default().trim().to_owned();
        Self {
            name: text("name"),
            slug: text("slug"),
            url: text("url"),
            transport: text("transport"),
            auth: text("auth"),
            header: text("header"),
            scheme: text("scheme"),
            accounts: Accounts::from_word(&text("accounts")),
            who: text("who"),
            teams: fields.all("team").map(str::to_owned).collect(),
        }
    }

    pub(super) fn auth_type(&self) -> Option<AuthType> {
        AuthType::from_word(&self.auth)
    }

    /// As the use case takes it; the secrets are in the form alone.
    pub(super) fn connection(&self, fields: &Fields) -> Result<NewConnection, Refusal> {
        let auth_type = self.auth_type().ok_or_else(|| {
            Refusal::invalid("validation_failed", "`auth`: choose how the server knows who asks.")
        })?;
        let per_member = self.accounts == Accounts::PerMember && auth_type != AuthType::None;
        let is_own = self.accounts == Accounts::Mine;
        let mode = if per_member { CredentialMode::PerMember } else { CredentialMode::Shared };
        let given = |name: &str| fields.secret(name).filter(|value| !value.expose().is_empty()).cloned();
        let api_key = (auth_type == AuthType::ApiKey).then(|| ApiKeyInput {
            header: (!self.header.is_empty()).then(|| self.header.clone()),
            scheme: (!self.scheme.is_empty()).then(|| self.scheme.clone()),
            value: given("api_key").filter(|_| !per_member),
        });
        let headers = match given("headers").filter(|_| auth_type == AuthType::Headers) {
            Some(lines) => Some(headers_of(lines.expose())?),
            None => None,
        };
        Ok(NewConnection {
            name: Some(self.name.clone()).filter(|name| !name.is_empty()),
            transport: Transport::from_word(&self.transport),
            credential_mode: (!is_own).then_some(mode),
            owner: if is_own { OwnerWord::Member } else { OwnerWord::Organization },
            api_key,
            headers,
            ..NewConnection::at(&self.slug, &self.url, auth_type)
        })
    }

    /// Who is to use it. A team that is none is refused before anything is made.
    pub(super) fn grants(&self, me: MemberId) -> Result<GrantsInput, Refusal> {
        if self.who != "teams" {
            let everyone = self.who == "everyone";
            let members = if everyone { Vec::new() } else { vec![me] };
            return Ok(GrantsInput { everyone, members, teams: Vec::new() });
        }
        let teams: Result<Vec<TeamId>, _> = self.teams.iter().map(|team| team.parse()).collect();
        let teams = teams.map_err(|_| Refusal::invalid("validation_failed", "`teams`: that is no team."))?;
        if teams.is_empty() {
            return Err(Refusal::invalid("validation_failed", "`teams`: choose at least one team."));
        }
        Ok(GrantsInput { teams, ..GrantsInput::default() })
    }
}

/// `Name: value`, one a line.
fn headers_of(lines: &str) -> Result<BTreeMap<String, SecretValue>, Refusal> {
    let mut headers = BTreeMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            let text = "`headers`: write each header on a line of its own, as `Name: value`.";
            return Err(Refusal::invalid("validation_failed", text));
        };
        headers.insert(name.trim().to_owned(), SecretValue::new(value.trim().to_owned()));
    }
    Ok(headers)
}

/// A short name out of a host or a person's words: what is particular about it.
pub(super) fn slug_of(text: &str) -> String {
    let usual = ["mcp", "api", "www", "server"];
    let lower = text.to_lowercase();
    let labels: Vec<&str> = lower.split('.').filter(|label| !usual.contains(label)).collect();
    let chosen = if is_numeric(&lower) { "server" } else { labels.first().copied().unwrap_or("server") };
    let mut slug: String = chosen
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(40)
        .collect();
    while slug.contains("--") {
        slug = slug.replace("--", "-");
    }
    let slug = slug.trim_matches('-').to_owned();
    if slug.parse::<Slug>().is_ok() { slug } else { "server".to_owned() }
}

/// Whether a host is an address, or nothing.
fn is_numeric(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_digit() || b".:[]".contains(&byte)) || host == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_what_is_particular() {
        for (text, slug) in [
            ("mcp.linear.app", "linear"),
            ("api.githubcopilot.com", "githubcopilot"),
            ("127.0.0.1", "server"),
            ("My own Tools!", "my-own-tools"),
            ("…", "server"),
            ("", "server"),
        ] {
            assert_eq!(slug_of(text), slug, "{text}");
        }
    }

    #[test]
    fn headers_are_lines() {
        let read = headers_of("X-One: 1\r\n\r\n X-Two : a: b \n").unwrap();
        assert_eq!(read["X-One"].expose(), "1");
        assert_eq!(read["X-Two"].expose(), "a: b");
        assert!(headers_of("nonsense").is_err());
    }
}
