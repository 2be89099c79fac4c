//! `[[oauth_clients]]`: clients that the operator made at providers, so that no admin has to paste them.

use std::{borrow::Cow, path::PathBuf};

use switchboard_broker::connect::{Authentication, OperatorClient};
use switchboard_domain::{AssertionAudience, SecretValue, Slug};
use switchboard_egress::HostPattern;
use toml::{Spanned, de::DeValue};
use url::Url;

use super::{
    error::{Fault, Origin},
    file::strings,
    suggest::nearest,
};

const MEMBERS: [&str; 9] = [
    "name",
    "issuer",
    "hosts",
    "client_id",
    "client_secret",
    "client_secret_file",
    "private_key_file",
    "token_endpoint_auth_method",
    "assertion_audience",
];

fn hosts(value: &DeValue<'_>) -> Result<Vec<HostPattern>, String> {
    let DeValue::Array(items) = value else {
        return Err("is a list of hosts, such as [\"mcp.example.com\", \"*.example.com\"]".into());
    };
    let each = strings(items).ok_or("is a list of texts")?;
    let host = |text: &String| match text.parse::<HostPattern>() {
        Ok(host) if host.is_network() => Err(format!("can't be used: `{text}` is a network; name hosts")),
        read => read.map_err(|error| format!("can't be used: {error}")),
    };
    each.iter().map(host).collect()
}

/// One entry, as written.
#[derive(Clone, Default)]
pub(crate) struct OauthClientEntry {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) client_id: String,
    /// Never shown.
    pub(crate) client_secret: Option<SecretValue>,
    pub(crate) client_secret_file: Option<PathBuf>,
    /// Of a client that proves itself with a private key; read into `client_secret`.
    pub(crate) private_key_file: Option<PathBuf>,
    pub(crate) assertion_audience: AssertionAudience,
    pub(crate) token_endpoint_auth_method: Option<String>,
}

impl OauthClientEntry {
    /// Takes one member.
    pub(super) fn take(
        &mut self,
        name: &Spanned<Cow<'_, str>>,
        value: &DeValue<'_>,
        origin: Origin,
    ) -> Result<(), Fault> {
        let given = name.get_ref().as_ref();
        let key = format!("oauth_clients.{given}");
        if !MEMBERS.contains(&given) {
            let suggestion = nearest(given, MEMBERS).map(|name| format!("oauth_clients.{name}"));
            return Err(Fault::Unknown { origin, key, suggestion });
        }
        if given == "hosts" {
            self.hosts = hosts(value).map_err(|why| Fault::Shape { origin, key, why })?;
            return Ok(());
        }
        let DeValue::String(text) = value else {
            return Err(Fault::Shape { origin, key, why: "is a text, in quotes".into() });
        };
        let text = text.to_string();
        match given {
            "name" => match text.parse::<Slug>() {
                Ok(slug) => self.name = slug.to_string(),
                Err(error) => {
                    return Err(Fault::Shape { origin, key, why: format!("can't be used: {error}") });
                }
            },
            "issuer" if Url::parse(&text).is_ok_and(|url| url.has_host()) => self.issuer = text,
            "issuer" => {
                let why = "is no URL: write the provider's issuer as its metadata has it".into();
                return Err(Fault::Shape { origin, key, why });
            }
            "client_id" => self.client_id = text,
            "client_secret" => self.client_secret = Some(SecretValue::new(text)),
            "client_secret_file" => self.client_secret_file = Some(PathBuf::from(text)),
            "private_key_file" => self.private_key_file = Some(PathBuf::from(text)),
            "assertion_audience" => match AssertionAudience::from_word(&text) {
                Some(audience) => self.assertion_audience = audience,
                None => {
                    let why = "is `issuer` or `token_endpoint`".into();
                    return Err(Fault::Shape { origin, key, why });
                }
            },
            _ if Authentication::from_word(&text).is_some() => self.token_endpoint_auth_method = Some(text),
            _ => {
                let why =
                    "is `client_secret_basic`, `client_secret_post`, `private_key_jwt` or `none`".into();
                return Err(Fault::Shape { origin, key, why });
            }
        }
        Ok(())
    }

    /// What is missing in it.
    pub(super) fn missing(&self) -> impl Iterator<Item = &'static str> {
        let missing = [
            ("name", self.name.is_empty()),
            ("issuer", self.issuer.is_empty()),
            ("hosts", self.hosts.is_empty()),
            ("client_id", self.client_id.is_empty()),
        ];
        missing.into_iter().filter(|(_, missing)| *missing).map(|(member, _)| member)
    }

    /// As it is used; `None` for an entry that was refused.
    pub(super) fn client(&self) -> Option<OperatorClient> {
        Some(OperatorClient {
            name: self.name.parse().ok()?,
            issuer: self.issuer.clone(),
            hosts: self.hosts.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            authentication: match self.private_key_file {
                Some(_) => Some(Authentication::PrivateKeyJwt),
                None => self.token_endpoint_auth_method.as_deref().and_then(Authentication::from_word),
            },
            assertion_audience: self.assertion_audience,
        })
    }
}
