//! The tool catalogue, without I/O: what a definition says, what its fingerprint is, what a reviewer
//! should look at, what it is called on a direct surface, and search over all of an organization's tools.
//!
//! ```text
//! tools/list ──▶ Definition::parse ──▶ fingerprint, findings, summary, signature
//!                        │
//!                        └──▶ Index::replace(connection, …) ──▶ Index::search(text, granted connections)
//! ```

mod canonical;
mod definition;
mod difference;
mod findings;
mod harmless;
mod known_server;
mod naming;
mod revealed;
mod schema;
pub mod search;
mod signature;
mod summary;
mod uri_spelling;
mod uri_template;
mod validation_cost;

pub use canonical::{NotCanonical, canonical_form, fingerprint};
pub use definition::{Definition, DefinitionLimits, Excluded, Exclusion};
pub use difference::{Difference, differences};
pub use findings::{Finding, Flag, REDACTED, in_text as flags_in_text};
pub use harmless::is_harmless_change;
pub use known_server::{
    find_known_servers, host_of, known_servers, known_servers_checked_at, similar_known_servers,
};
pub use naming::{DIRECT_NAME_CHARS, direct_names};
pub use revealed::{revealed, revealed_json};
pub use search::{
    ConnectionLabel, ConnectionSet, EntryRef, Hit, Index, MatchReason, SearchOutcome, SearchQuery,
    match_reasons,
};
pub use signature::{SIGNATURE_CHARS, Signature};
pub use summary::{SUMMARY_CHARS, displayed, first_sentence, is_invisible};
pub use uri_spelling::common_spelling;
pub use uri_template::fits_template;
pub use validation_cost::{TooCostly, ValidationCost};
