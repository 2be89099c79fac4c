//! Who may do what, decided in one place.
//!
//! [`evaluate`] takes the rules that apply to a request ([`PolicySet`]) and the facts about it ([`Subject`])
//! and answers [`Decision`]. Listing, searching, executing and executing after an approval are the same
//! function with another [`Purpose`]; there is no second implementation that could disagree.
//!
//! # Rules
//!
//! The organization, the toolkit and the member each have an ordered list. Each list contributes its *first*
//! rule that matches; the strictest of those wins (block > require approval > allow). So a toolkit or a
//! member can tighten and never loosen. Without any rule the answer is allow: a grant is what lets somebody
//! in, a rule is what holds them back. A rule with a [`Condition`] matches when that holds; one that can't be
//! evaluated blocks.
//!
//! # Proof
//!
//! An allowed call gets a [`Permit`], which nothing outside this crate can make, and without which no
//! credential is unlocked and no upstream session opened. What runs without a caller (refresh, listing,
//! check, revocation) needs a [`MaintenancePermit`] instead.
//!
//! Everything here is pure: no I/O, no clock, no randomness.

mod approval;
mod condition;
mod decision;
mod evaluate;
mod explain;
mod permit;
mod rule;
mod set;
mod subject;

pub use approval::{ApprovalRequirement, ConsumedApproval, Decider, Underway};
pub use condition::{Condition, ConditionProblem, MAX_CONDITION_BYTES};
pub use decision::{Decision, Reason, Source, Trace};
pub use evaluate::{ConnectionPolicy, Listed, Purpose, evaluate};
pub use explain::{Explanation, LayerMatch, explain};
pub use permit::{MaintenancePermit, MaintenancePurpose, Permit};
pub use rule::{Approvers, MAX_CONDITIONS, Rule, RuleAction, RuleError, RuleProblem, check_rules};
pub use set::{Layer, PolicySet, RuleList};
pub use subject::{Arguments, CapabilityFacts, ConnectionFacts, Mode, Requester, Subject};
