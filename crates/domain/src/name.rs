//! Names that people choose and agents type.
//!
//! A capability is `<slug>.<name>`, split at the first dot: a slug has none, an upstream's name may.
//! A personal connection's slug is written `~<slug>`, so that it can neither collide with nor reveal
//! an organization's connection.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name of a tool, prompt or resource that is taken from an upstream, in bytes.
const MAX_CAPABILITY_NAME: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(
        "`{0}` can't be a slug: use 1 to 63 lower-case letters, digits and inner hyphens, such as `linear` or `team-wiki`"
    )]
    Slug(String),
    #[error("`{0}` is not a capability name: expected `<connection>.<name>`, such as `linear.create_issue`")]
    Capability(String),
    #[error(
        "`{0}` is not a pattern: use whole segments, such as `linear.create_issue`, `linear.*`, `*.delete_issue` or `*`"
    )]
    Pattern(String),
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Box<str>);

impl Slug {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_slug(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && inner(bytes[0])
        && inner(bytes[bytes.len() - 1])
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
}

impl FromStr for Slug {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_slug(text) { Ok(Self(text.into())) } else { Err(NameError::Slug(shown(text))) }
    }
}

/// `<slug>.<name>` or `~<slug>.<name>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapabilityName {
    pub personal: bool,
    pub slug: Slug,
    pub name: Box<str>,
}

impl FromStr for CapabilityName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = || NameError::Capability(shown(text));
        let (slug, name) = text.split_once('.').ok_or_else(refuse)?;
        let (personal, slug) = slug.strip_prefix('~').map_or((false, slug), |slug| (true, slug));
        if name.is_empty() || name.len() > MAX_CAPABILITY_NAME {
            return Err(refuse());
        }
        Ok(Self { personal, slug: slug.parse().map_err(|_| refuse())?, name: name.into() })
    }
}

impl fmt::Display for CapabilityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}.{}", if self.personal { "~" } else { "" }, self.slug, self.name)
    }
}

/// A pattern over `<slug>.<name>` with whole-segment wildcards: `a.b`, `a.*`, `*.b`, `*`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CapabilityPattern {
    /// `None` matches every connection. A leading `~` names a personal one.
    slug: Option<Box<str>>,
    /// `None` matches every name.
    name: Option<Box<str>>,
}

impl CapabilityPattern {
    /// The connection it names, with `~` when personal; `None` matches every connection.
    pub fn slug(&self) -> Option<&str> {
        self.slug.as_deref()
    }

    /// The capability it names; `None` matches every name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The connection and capability this pattern is about; `slug` as written, with `~` when personal.
    pub fn matches(&self, slug: &str, name: &str) -> bool {
        self.slug.as_deref().is_none_or(|wanted| wanted == slug)
            && self.name.as_deref().is_none_or(|wanted| wanted == name)
    }
}

impl FromStr for CapabilityPattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = || NameError::Pattern(shown(text));
        if text == "*" {
            return Ok(Self { slug: None, name: None });
        }
        let (slug, name) = text.split_once('.').ok_or_else(refuse)?;
        let slug = match slug {
            "*" => None,
            slug if is_slug(slug.strip_prefix('~').unwrap_or(slug)) => Some(slug.into()),
            _ => return Err(refuse()),
        };
        let name = match name {
            "*" => None,
            "" => return Err(refuse()),
            name if name.contains('*') || name.len() > MAX_CAPABILITY_NAME => return Err(refuse()),
            name => Some(name.into()),
        };
        Ok(Self { slug, name })
    }
}

impl fmt::Display for CapabilityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.slug, &self.name) {
            (None, None) => f.write_str("*"),
            (slug, name) => {
                write!(f, "{}.{}", slug.as_deref().unwrap_or("*"), name.as_deref().unwrap_or("*"))
            }
        }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(Slug CapabilityName CapabilityPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for good in ["a", "0", "linear", "team-wiki", "a--b", &"a".repeat(63)] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "é", "~a", &"a".repeat(64)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_capability_splits_at_the_first_dot() {
        let name: CapabilityName = "linear.issues.create".parse().unwrap();
        assert_eq!((name.slug.as_str(), &*name.name, name.personal), ("linear", "issues.create", false));
        let own: CapabilityName = "~notes.add".parse().unwrap();
        assert!(own.personal && own.to_string() == "~notes.add");
        for bad in ["linear", "linear.", ".create", "Linear.x", "~.x"] {
            assert!(bad.parse::<CapabilityName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_match_whole_segments() {
        let matches =
            |pattern: &str, slug, name| pattern.parse::<CapabilityPattern>().unwrap().matches(slug, name);
        assert!(matches("*", "a", "b") && matches("a.*", "a", "b.c") && matches("*.b", "x", "b"));
        assert!(matches("a.b", "a", "b") && !matches("a.b", "a", "bb") && !matches("a.*", "~a", "b"));
        for bad in ["", "a", "a.b*", "*a.b", "a.", "**", "a.*.c*"] {
            assert!(bad.parse::<CapabilityPattern>().is_err(), "{bad}");
        }
    }
}
