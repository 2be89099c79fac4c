//! Revisions of the specification, and the two generations they fall into.

/// The revision without sessions.
pub const MODERN: &str = "2026-07-28";

/// Newest revision that `initialize` can agree on.
pub const LATEST_LEGACY: &str = "2025-11-25";

/// What we speak, newest first.
pub const SUPPORTED: [&str; 4] = [MODERN, LATEST_LEGACY, "2025-06-18", "2025-03-26"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    Legacy,
    Modern,
}

/// A revision that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    V2026_07_28,
}

impl Version {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => LATEST_LEGACY,
            Self::V2026_07_28 => MODERN,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "2025-03-26" => Some(Self::V2025_03_26),
            "2025-06-18" => Some(Self::V2025_06_18),
            LATEST_LEGACY => Some(Self::V2025_11_25),
            MODERN => Some(Self::V2026_07_28),
            _ => None,
        }
    }

    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// What `initialize` answers to a client that asks for `requested`: the same if we speak it, otherwise our
    /// newest that has `initialize` (2025-11-25, lifecycle).
    pub fn negotiate(requested: &str) -> Self {
        match Self::parse(requested) {
            Some(version) if version.era() == Era::Legacy => version,
            _ => Self::V2025_11_25,
        }
    }
}
