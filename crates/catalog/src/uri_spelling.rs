//! When two URIs are one, however they are spelled (RFC 3986 section 6.2.2): letters of scheme and host, dot segments, and
//! escapes of characters that need none.

/// The spelling that all spellings of a URI have in common; `None` for what is no absolute URI.
pub fn common_spelling(uri: &str) -> Option<String> {
    let parsed = url::Url::parse(uri).ok()?;
    let text = unescaped(parsed.as_str());
    let Some((scheme, rest)) = text.split_once("://") else { return Some(text) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    Some(format!("{scheme}://{}{rest}", authority.to_ascii_lowercase()))
}

/// Without escapes of unreserved characters, and the others in capitals.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        // Digits alone: the parser of numbers takes a sign as well.
        let digits = after.get(..2).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                plain.push(char::from(byte));
                rest = &after[2..];
            }
            Some(byte) => {
                plain.push_str(&format!("%{byte:02X}"));
                rest = &after[2..];
            }
            None => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_resource_has_one_spelling() {
        for other in [
            "file:///secret/notes",
            "FILE:///secret/notes",
            "file:///%73ecret/%6Eotes",
            "file:///secret/./notes",
            "file:///public/../secret/notes",
            "file:///public/%2e%2E/secret/notes",
        ] {
            assert_eq!(common_spelling(other).as_deref(), Some("file:///secret/notes"), "{other}");
        }
        assert_eq!(common_spelling("demo://Host/a%2fb"), common_spelling("DEMO://host/a%2Fb"));
    }

    #[test]
    fn what_differs_stays_apart() {
        for (one, other) in [
            ("file:///secret", "file:///Secret"),
            ("demo://a/b%2Fc", "demo://a/b/c"),
            ("demo://a/b?x=1", "demo://a/b"),
            ("demo://a/%2541", "demo://a/%41"),
            ("demo://a/%+1", "demo://a/%01"),
        ] {
            assert_ne!(common_spelling(one), common_spelling(other));
        }
        assert_eq!(common_spelling("no uri"), None);
        assert_eq!(common_spelling("demo://a/100%").as_deref(), Some("demo://a/100%"));
    }
}
