//! Texts that several steps say, and texts of others made safe to pass on.

use switchboard_domain::{Actor, CallError, ErrorCode};

/// One line of a stranger's text: no control or invisible characters, at most `most` characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    switchboard_catalog::displayed(text, most)
}

/// A store, a key or the audit log is not to be had: nothing happens without them.
pub(crate) fn unavailable() -> CallError {
    CallError::new(
        ErrorCode::Unavailable,
        "Switchboard can't decide or record calls right now, so it makes none. Try again in a moment.",
    )
    .retryable()
    .actor(Actor::Operator)
    .retry("execute_capability", Some(5))
}
