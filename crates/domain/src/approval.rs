//! What becomes of a call that a rule holds.

use crate::connection::words;

words!(
    /// Each leads to the next at most once; declined, expired and used are final.
    ApprovalStatus {
        Pending = "pending",
        Approved = "approved",
        Declined = "declined",
        /// Nobody decided, or nobody called again, in time.
        Expired = "expired",
        /// The call that was approved was let through: once.
        Used = "used",
    }
);
