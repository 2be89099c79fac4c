//! Sending a person to an authorization server, and reading what they bring back (RFC 6749 section 4.1, RFC 9207).

use std::collections::BTreeMap;

use url::Url;

use crate::Parameters;

/// Longest code that is passed on.
const MAX_CODE: usize = 8 * 1024;

/// Where a person's browser goes.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationUrl<'a> {
    /// May have a query already, which stays.
    pub endpoint: &'a str,
    pub client_id: &'a str,
    pub redirect_uri: &'a str,
    pub state: &'a str,
    pub code_challenge: &'a str,
    pub scopes: &'a [String],
    /// What the token is to be for (RFC 8707).
    pub resource: &'a str,
    /// What this provider wants beside the standard. None of ours is among them.
    pub more: &'a BTreeMap<String, String>,
}

impl AuthorizationUrl<'_> {
    /// `None`: the endpoint is no URL.
    pub fn build(&self) -> Option<String> {
        let mut url = Url::parse(self.endpoint).ok()?;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("state", self.state)
            .append_pair("code_challenge", self.code_challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", self.resource);
        if !self.scopes.is_empty() {
            query.append_pair("scope", &self.scopes.join(" "));
        }
        query.extend_pairs(self.more);
        if self.scopes.iter().any(|scope| scope == "offline_access") && !self.more.contains_key("prompt") {
            // Without it an OpenID provider passes offline_access over (OpenID Connect Core section 11).
            query.append_pair("prompt", "consent");
        }
        drop(query);
        Some(url.into())
    }
}

/// What a browser brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationAnswer {
    Code(String),
    /// The server says no. Its words are for people, and not to be trusted.
    Refused {
        error: String,
        description: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("it has neither a code nor an error, or one that is too long")]
    Shape,
    #[error("it comes from another authorization server than the one that was asked")]
    OtherIssuer,
}

impl AuthorizationAnswer {
    /// `issuer` is who was asked, as far as it is known; `sends_issuer` whether it says that it names itself. An error
    /// of a stranger is not even read (RFC 9207 section 2.4).
    pub fn parse(
        parameters: &Parameters,
        issuer: Option<&str>,
        sends_issuer: bool,
    ) -> Result<Self, AnswerError> {
        match parameters.get("iss") {
            Some(named) if issuer.is_some_and(|issuer| issuer != named) => {
                return Err(AnswerError::OtherIssuer);
            }
            None if sends_issuer => return Err(AnswerError::OtherIssuer),
            _ => {}
        }
        if let Some(error) = parameters.get("error") {
            let description = parameters.get("error_description").map(str::to_owned);
            return Ok(Self::Refused { error: error.to_owned(), description });
        }
        let code = parameters.get("code").filter(|code| code.len() <= MAX_CODE);
        code.map(|code| Self::Code(code.to_owned())).ok_or(AnswerError::Shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)], sends_issuer: bool) -> Result<AuthorizationAnswer, AnswerError> {
        let pairs = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        AuthorizationAnswer::parse(&Parameters::new(pairs).unwrap(), Some("https://as.example"), sends_issuer)
    }

    /// The four rows of RFC 9207: advertised or not, present or not.
    #[test]
    fn the_issuer_is_compared_as_text() {
        let code = ("code", "c");
        assert!(parse(&[code, ("iss", "https://as.example")], true).is_ok());
        assert!(parse(&[code, ("iss", "https://as.example")], false).is_ok());
        assert!(parse(&[code], false).is_ok());
        assert_eq!(parse(&[code], true), Err(AnswerError::OtherIssuer));
        for other in ["https://as.example/", "https://AS.example", "https://evil.example", "x"] {
            assert_eq!(parse(&[code, ("iss", other)], false), Err(AnswerError::OtherIssuer), "{other}");
            let error = parse(&[("error", "access_denied"), ("iss", other)], false);
            assert_eq!(error, Err(AnswerError::OtherIssuer), "an error of a stranger is not read");
        }
    }

    #[test]
    fn what_was_in_the_endpoint_stays() {
        let url = AuthorizationUrl {
            endpoint: "https://as.example/authorize?tenant=a",
            client_id: "c",
            redirect_uri: "https://gw.example/cb",
            state: "s",
            code_challenge: "x",
            scopes: &["read".to_owned(), "offline_access".to_owned()],
            resource: "https://mcp.example/mcp",
            more: &BTreeMap::new(),
        };
        let url = url.build().unwrap();
        assert!(url.starts_with("https://as.example/authorize?tenant=a&response_type=code&client_id=c&"));
        assert!(url.contains("&scope=read+offline_access&prompt=consent"), "{url}");
        assert!(url.contains("&resource=https%3A%2F%2Fmcp.example%2Fmcp"), "{url}");
    }
}
