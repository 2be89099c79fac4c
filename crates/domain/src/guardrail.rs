//! What an organization wants when its guardrail fails.

use crate::connection::words;

words!(
    /// A guardrail that does not answer, or not in the words it should.
    GuardrailFailure {
        /// Nothing runs without it, and no result is given out.
        Closed = "closed",
        /// Calls go on as if it had allowed them.
        Open = "open",
    }
);
