//! What a client asks at the authorization endpoint (RFC 6749 section 4.1.1).
//!
//! Read in two steps. Who asks and where the answer goes come first: as long as they are not known, an error is a page
//! and never a redirect. Everything else is told to the client, at the address that was found good.

use switchboard_domain::Scopes;

use crate::{
    Audience, Challenge, ErrorCode, OauthError, RedirectUri, ResourceIndicator, scopes::requested_scopes,
};

/// Longest `state` that is carried for a client.
const MAX_STATE: usize = 4096;

/// Parameters of a query or form, each at most once (section 3.1) but for `resource`.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// `None` when one is there twice. An empty one is as good as none.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Option<Self> {
        let mut known: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            if name != "resource" && known.iter().any(|(before, _)| *before == name) {
                return None;
            }
            known.push((name, value));
        }
        Some(Self(known))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    pub fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        let found = self.0.iter().filter(move |(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }
}

/// Who asks, and where the answer is to go: checked against what is known of the client before anything else.
#[derive(Debug, Clone)]
pub struct ClientPart {
    pub client_id: String,
    pub redirect_uri: RedirectUri,
}

impl ClientPart {
    pub fn parse(parameters: &Parameters) -> Result<Self, OauthError> {
        let missing = |name: &str| OauthError::invalid_request(format!("`{name}` is missing"));
        let client_id = parameters.get("client_id").ok_or_else(|| missing("client_id"))?;
        let redirect_uri = parameters.get("redirect_uri").ok_or_else(|| missing("redirect_uri"))?;
        let redirect_uri = RedirectUri::parse(redirect_uri)
            .map_err(|error| OauthError::new(ErrorCode::InvalidRedirectUri, error.to_string()))?;
        Ok(Self { client_id: client_id.to_owned(), redirect_uri })
    }
}

/// The rest of a request that can be put to a person.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    pub scopes: Scopes,
    pub resource: ResourceIndicator,
    pub challenge: Challenge,
    pub state: Option<String>,
}

impl AuthorizationRequest {
    /// `origin` is ours.
    pub fn parse(parameters: &Parameters, origin: &str, audience: Audience) -> Result<Self, OauthError> {
        if parameters.get("request").is_some() || parameters.get("request_uri").is_some() {
            return Err(OauthError::invalid_request("request objects are not supported"));
        }
        match parameters.get("response_type") {
            Some("code") => {}
            None => return Err(OauthError::invalid_request("`response_type` is missing")),
            Some(_) => {
                let text = "`response_type` has to be `code`";
                return Err(OauthError::new(ErrorCode::UnsupportedResponseType, text));
            }
        }
        if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(OauthError::invalid_request("`response_mode` can only be `query`"));
        }
        let challenge =
            Challenge::parse(parameters.get("code_challenge"), parameters.get("code_challenge_method"))?;
        let state = parameters.get("state");
        if state.is_some_and(|state| state.len() > MAX_STATE) {
            return Err(OauthError::invalid_request("`state` is longer than 4096 bytes"));
        }
        let resources: Vec<&str> = parameters.all("resource").collect();
        Ok(Self {
            scopes: requested_scopes(audience, parameters.get("scope"))?,
            resource: ResourceIndicator::parse(audience, origin, &resources)?,
            challenge,
            state: state.map(str::to_owned),
        })
    }
}
