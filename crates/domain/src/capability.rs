//! A capability: one tool (later a prompt or a resource) of a connection.

use std::fmt;

use crate::connection::words;

words!(CapabilityKind {
    Tool = "tool",
    Prompt = "prompt",
    Resource = "resource",
});
words!(
    /// What the pin says of a definition.
    CapabilityState {
        /// As approved: the first listing of a connection, or a reviewed change.
        Approved = "approved",
        /// Added or changed after the first listing: not callable until an admin approves.
        Held = "held",
        /// An admin rejected it.
        Rejected = "rejected",
        /// The upstream no longer lists it.
        Gone = "gone",
    }
);

/// SHA-256 over the canonical form of a whole definition as the upstream sent it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// First 12 hex characters: the `schema_digest` agents see and may send back. It finds changes between a search
    /// and a call; what is pinned and compared before every call is the whole.
    pub fn short(&self) -> String {
        self.0[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({}…)", self.short())
    }
}
