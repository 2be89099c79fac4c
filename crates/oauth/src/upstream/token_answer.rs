//! What a token endpoint answers (RFC 6749 sections 5.1 and 5.2).

use serde::Deserialize;
use serde_json::Value;
use switchboard_domain::SecretValue;

use super::{is_object, scopes};

/// Longest token that is kept: it has to fit into a header.
const MAX_TOKEN: usize = 16 * 1024;
/// Longest lifetime that is believed; beyond, a token is as good as one that says nothing.
const MAX_LIFETIME: u64 = 10 * 365 * 24 * 3600;

/// Tokens that were issued.
#[derive(Debug, Clone)]
pub struct TokenAnswer {
    pub access_token: SecretValue,
    pub refresh_token: Option<SecretValue>,
    /// Seconds from now. `None`: it does not say.
    pub expires_in: Option<u64>,
    /// `None`: as asked for.
    pub scopes: Option<Vec<String>>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It says no, with one of the words of the standard or its own.
    #[error("it answered `{code}`{}", .description.as_ref().map_or_else(String::new, |text| format!(": {text}")))]
    Refused { code: String, description: Option<String> },
    #[error("its answer (HTTP {status}) is no JSON object as RFC 6749 describes it")]
    Shape { status: u16 },
    #[error("its token is empty, too long, or has characters that no token may have")]
    Token,
    #[error("its token is of a type that is not known here")]
    TokenType,
}

impl TokenError {
    /// The word of the standard, when it said one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<Value>,
    scope: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl TokenAnswer {
    /// Some providers say no with status 200, so the body is read before the status counts.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, TokenError> {
        let shape = TokenError::Shape { status };
        if !is_object(body) {
            return Err(shape);
        }
        let answer: Answer = serde_json::from_slice(body).map_err(|_| shape.clone())?;
        if let Some(code) = answer.error {
            let description = answer.error_description.as_deref().map(|text| one_line(text, 300));
            return Err(TokenError::Refused { code: one_line(&code, 100), description });
        }
        if !(200..300).contains(&status) {
            return Err(shape);
        }
        let access_token = answer.access_token.ok_or(shape.clone())?;
        let refresh_token = answer.refresh_token.filter(|token| !token.is_empty());
        let refresh_is_good =
            refresh_token.as_deref().is_none_or(|token| token.len() <= MAX_TOKEN && is_visible(token));
        if !is_bearer(&access_token) || !refresh_is_good {
            return Err(TokenError::Token);
        }
        if !answer.token_type.ok_or(shape)?.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::TokenType);
        }
        Ok(Self {
            access_token: SecretValue::new(access_token),
            refresh_token: refresh_token.map(SecretValue::new),
            expires_in: answer.expires_in.as_ref().and_then(seconds).filter(|it| *it <= MAX_LIFETIME),
            scopes: answer
                .scope
                .map(|text| scopes(text.split([' ', ','])))
                .filter(|scopes| !scopes.is_empty()),
        })
    }
}

/// A number, or a text with one in it, as some providers write it.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// `b64token` (RFC 6750 section 2.1): what may stand behind `Bearer` in a header.
fn is_bearer(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !body.is_empty() && token.len() <= MAX_TOKEN && body.bytes().all(plain)
}

fn is_visible(token: &str) -> bool {
    token.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// Text of a stranger: one line, plain, bounded.
fn one_line(text: &str, most: usize) -> String {
    let kept = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    kept.filter(|c| matches!(c, ' '..='~' | '\u{a1}'..='\u{2fff}') && !is_invisible(*c)).take(most).collect()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}
