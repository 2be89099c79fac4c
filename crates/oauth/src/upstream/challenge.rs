//! `WWW-Authenticate` of a server that wants a token (RFC 6750 section 3, RFC 9728 section 5.1).

use super::scopes;

/// Longest header that is looked at.
const MAX_HEADER: usize = 8 * 1024;

/// The `Bearer` challenge of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// Where the resource's metadata is. Still to be judged.
    pub resource_metadata: Option<String>,
    /// What the request would have needed.
    pub scopes: Option<Vec<String>>,
    pub error: Option<String>,
}

impl BearerChallenge {
    /// The first `Bearer` challenge of these header values. `None`: there is none.
    pub fn parse<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<Self> {
        headers.into_iter().filter(|header| header.len() <= MAX_HEADER).find_map(Self::of_header)
    }

    /// Whether it is OAuth that is asked for. A bare challenge, or one that only says that a token is wrong, asks for
    /// a key: OAuth resources say where to get a token, or with which scope.
    pub fn is_oauth(&self) -> bool {
        self.resource_metadata.is_some() || self.scopes.is_some()
    }

    fn of_header(header: &str) -> Option<Self> {
        let mut rest = header;
        let mut found: Option<Self> = None;
        while let Some((token, after)) = token(rest) {
            if let Some(value) = after.trim_start().strip_prefix('=') {
                let (value, after) = self::value(value.trim_start())?;
                if let Some(challenge) = &mut found {
                    challenge.take(&token.to_ascii_lowercase(), value);
                }
                rest = after;
            } else if found.is_some() {
                // The next challenge begins.
                break;
            } else {
                found = token.eq_ignore_ascii_case("bearer").then(Self::default);
                rest = after;
            }
        }
        found
    }

    fn take(&mut self, name: &str, value: String) {
        match name {
            "resource_metadata" => {
                self.resource_metadata.get_or_insert(value);
            }
            "scope" => {
                let words = scopes(value.split(' '));
                if !words.is_empty() {
                    self.scopes.get_or_insert(words);
                }
            }
            "error" => {
                self.error.get_or_insert(value);
            }
            _ => {}
        }
    }
}

/// The next token, past separators, and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)));
    let (token, rest) = text.split_at(end.unwrap_or(text.len()));
    (!token.is_empty()).then_some((token, rest))
}

/// A token or quoted string, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Scheme data such as `token68` padding, and URLs that nobody quoted.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Option<BearerChallenge> {
        BearerChallenge::parse([header])
    }

    #[test]
    fn the_usual_challenges_are_read() {
        let whole = parse(
            r#"Bearer realm="x, y", error="invalid_token", error_description="No \"token\"", resource_metadata="https://a.example/.well-known/oauth-protected-resource", scope="read  write read""#,
        )
        .unwrap();
        assert_eq!(
            whole.resource_metadata.as_deref(),
            Some("https://a.example/.well-known/oauth-protected-resource")
        );
        assert_eq!(whole.scopes.as_deref(), Some(&["read".to_owned(), "write".to_owned()][..]));
        assert_eq!(whole.error.as_deref(), Some("invalid_token"));
        assert!(whole.is_oauth());
        let unquoted = parse("bearer resource_metadata=https://a.example/prm?x=1,scope=read").unwrap();
        assert_eq!(unquoted.resource_metadata.as_deref(), Some("https://a.example/prm?x=1"));
        let second =
            parse(r#"Basic realm="b", Bearer resource_metadata="https://a.example/", Digest qop="auth""#);
        assert_eq!(second.unwrap().resource_metadata.as_deref(), Some("https://a.example/"));
        let separate = BearerChallenge::parse(["Basic realm=x", "Bearer scope=read"]).unwrap();
        assert!(separate.is_oauth());
    }

    #[test]
    fn a_bare_challenge_asks_for_a_key() {
        for bare in ["Bearer", "Bearer error=\"invalid_token\"", "bearer realm=\"api\"", "Bearer scope=\"\""]
        {
            assert!(!parse(bare).unwrap().is_oauth(), "{bare}");
        }
        for other in ["", "Basic realm=\"x\"", "Negotiate", ", ,", "Bearer realm=\"never closed"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
