//! `[[oauth_clients]]`: clients that the operator made at providers, so that no admin has to paste them.

use std::{borrow::Cow, path::PathBuf};

use switchboard_broker::{ClientAuthMethod, connect::OperatorClient};
use switchboard_domain::{SecretValue, Slug};
use toml::{Spanned, de::DeValue};
use url::Url;

use super::{
    error::{Fault, Origin},
    suggest::nearest,
};

const MEMBERS: [&str; 6] =
    ["name", "issuer", "client_id", "client_secret", "client_secret_file", "token_endpoint_auth_method"];

/// One entry, as written.
#[derive(Clone, Default)]
pub(crate) struct OauthClientEntry {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    /// Never shown.
    pub(crate) client_secret: Option<SecretValue>,
    pub(crate) client_secret_file: Option<PathBuf>,
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
            _ if method(&text).is_some() => self.token_endpoint_auth_method = Some(text),
            _ => {
                let why = "is `client_secret_basic`, `client_secret_post` or `none`".into();
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
            ("client_id", self.client_id.is_empty()),
        ];
        missing.into_iter().filter(|(_, missing)| *missing).map(|(member, _)| member)
    }

    /// As it is used; `None` for an entry that was refused.
    pub(super) fn client(&self) -> Option<OperatorClient> {
        Some(OperatorClient {
            name: self.name.parse().ok()?,
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            authentication: self.token_endpoint_auth_method.as_deref().and_then(method),
        })
    }
}

fn method(word: &str) -> Option<ClientAuthMethod> {
    match word {
        "client_secret_basic" => Some(ClientAuthMethod::ClientSecretBasic),
        "client_secret_post" => Some(ClientAuthMethod::ClientSecretPost),
        "none" => Some(ClientAuthMethod::None),
        _ => None,
    }
}
