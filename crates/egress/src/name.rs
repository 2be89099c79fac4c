//! Which DNS names lead out of the building.
//!
//! A name that only means something inside a network (special-use names of RFC 6761 and RFC 8375, private
//! suffixes, single labels completed by a search domain) is refused before it is looked up, so that not even
//! the lookup tells anybody what exists inside.

/// What a syntactically valid DNS name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameClass {
    Public,
    /// `localhost` and everything below it (RFC 6761 section 6.3).
    Loopback,
    /// A single label or a private suffix.
    Private,
    /// A cloud platform's metadata service. Never opened.
    Metadata,
    /// Cannot be a host: bad characters, empty or overlong labels, names that DNS must not look up.
    Invalid,
}

const METADATA: &[&str] = &[
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.tencentyun.com",
    "metadata.azure.internal",
    "metadata.platformequinix.com",
    "instance-data",
    "instance-data.ec2.internal",
];

const PRIVATE_SUFFIXES: &[&str] = &[
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "lan",
    "home",
    "home.arpa",
    "consul",
    "test",
    "svc",
    "cluster.local",
];

/// RFC 7686 and RFC 6761 section 6.4: no resolver may be asked for these.
const UNRESOLVABLE_SUFFIXES: &[&str] = &["onion", "invalid"];

const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// `name` as the URL parser wrote it: lower case, IDNA applied, one trailing dot possible.
pub(crate) fn classify(name: &str) -> NameClass {
    let name = name.strip_suffix('.').unwrap_or(name);
    let lies_in =
        |suffix: &&str| name.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if name.len() > MAX_NAME || !name.split('.').all(is_label) || UNRESOLVABLE_SUFFIXES.iter().any(lies_in) {
        NameClass::Invalid
    } else if METADATA.contains(&name) {
        NameClass::Metadata
    } else if lies_in(&"localhost") {
        NameClass::Loopback
    } else if !name.contains('.') || PRIVATE_SUFFIXES.iter().any(lies_in) {
        NameClass::Private
    } else {
        NameClass::Public
    }
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_whole_labels() {
        assert_eq!(classify("mcp.example.com"), NameClass::Public);
        assert_eq!(classify("notlocalhost.com"), NameClass::Public);
        assert_eq!(classify("mylan.example"), NameClass::Public);
        assert_eq!(classify("a.lan"), NameClass::Private);
        assert_eq!(classify("a.localhost."), NameClass::Loopback);
        assert_eq!(classify("redis"), NameClass::Private);
        assert_eq!(classify("metadata.google.internal."), NameClass::Metadata);
        assert_eq!(classify("a..b"), NameClass::Invalid);
        assert_eq!(classify(".."), NameClass::Invalid);
        assert_eq!(classify("x.onion"), NameClass::Invalid);
    }
}
