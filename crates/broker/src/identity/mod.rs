//! Sign-in with a company's identity provider (OpenID Connect, authorization code with PKCE).
//!
//! Read in the order of a sign-in: `sign_in` sends the browser off and takes it back, `protocol` talks to the
//! provider, `person` decides who that is here, `tokens` keeps what the provider gave. A person is known by issuer and
//! subject; an address alone makes nobody anybody (THREATS Z11).

mod accounts;
mod answer;
mod person;
mod protocol;
mod revocation;
mod sign_in;
mod tokens;
mod wire;

use serde::{Deserialize, Serialize};
use switchboard_domain::TeamId;
use switchboard_storage::StorageError;

use crate::{DataKeyError, TooMany, manage::Refusal};

pub use accounts::{OwnAccount, OwnAccounts};
pub(crate) use protocol::Providers;
pub(crate) use sign_in::offers;
pub use sign_in::{Begin, Finished, Intent, Offer, ProviderAddress};
pub use tokens::{IdpToken, IdpTokenError};

/// What an organization decided about its provider, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProviderSettings {
    pub(crate) scopes: Vec<String>,
    /// Lower case. Whoever the provider vouches for with an address of one of these may join as a member.
    #[serde(default)]
    pub(crate) verified_domains: Vec<String>,
    #[serde(default)]
    pub(crate) group_claim: Option<String>,
    #[serde(default)]
    pub(crate) group_teams: Vec<GroupTeam>,
}

/// Whoever is in the group is in the team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupTeam {
    /// As the provider names it in the claim.
    pub group: String,
    #[schema(value_type = String)]
    pub team: TeamId,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        let scopes = ["openid", "profile", "email"].map(str::to_owned).to_vec();
        Self { scopes, verified_domains: Vec::new(), group_claim: None, group_teams: Vec::new() }
    }
}

/// Why a sign-in at a provider let nobody in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignInError {
    /// Unknown, switched off, or not for this: the same from outside.
    #[error("there is no such identity provider")]
    UnknownProvider,
    /// `state` is not known, was used, came too late or from another browser.
    #[error("this sign-in is over")]
    Over,
    #[error("the identity provider was changed meanwhile")]
    Changed,
    /// The provider said no, with this code.
    #[error("the identity provider answered `{0}`")]
    Declined(String),
    #[error("the identity provider can't be reached: {0}")]
    Unreachable(String),
    #[error("the identity provider can't be believed: {0}")]
    Untrusted(String),
    /// Nobody here is this, and nobody may become it without being invited.
    #[error("nobody invited this person")]
    NotInvited { email: Option<String> },
    /// An owner is not known by an address; they connect their account themselves.
    #[error("an owner's account has to be connected by the owner")]
    OwnerNotConnected,
    /// The member is known to this provider as somebody else.
    #[error("the member is connected with another account of this provider")]
    OtherAccount,
    #[error("the member is kept out")]
    KeptOut,
    /// Proved to be somebody, but not who is signed in here.
    #[error("it is another person")]
    NotThePerson,
    /// The provider did not ask again.
    #[error("the identity provider did not ask the person again")]
    NotAskedAgain,
    /// The account at the provider is another member's.
    #[error("the account is connected with another member")]
    TakenByAnother,
    #[error("the invitation is over")]
    InvitationOver,
    #[error("too many attempts")]
    TooMany(TooMany),
    /// Our own records can't be reached: nothing was decided.
    #[error("records can't be reached")]
    Unavailable,
}

impl SignInError {
    /// As the audit log calls it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownProvider => "unknown_identity_provider",
            Self::Over => "sign_in_over",
            Self::Changed => "identity_provider_changed",
            Self::Declined(_) => "identity_provider_declined",
            Self::Unreachable(_) => "identity_provider_unreachable",
            Self::Untrusted(_) => "identity_provider_untrusted",
            Self::NotInvited { .. } => "not_invited",
            Self::OwnerNotConnected => "owner_not_connected",
            Self::OtherAccount => "other_account",
            Self::KeptOut => "kept_out",
            Self::NotThePerson => "not_the_person",
            Self::NotAskedAgain => "not_asked_again",
            Self::TakenByAnother => "taken_by_another",
            Self::InvitationOver => "invitation_over",
            Self::TooMany(_) => "rate_limited",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<StorageError> for SignInError {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a sign-in can't be decided");
        Self::Unavailable
    }
}

impl From<DataKeyError> for SignInError {
    fn from(error: DataKeyError) -> Self {
        tracing::error!(%error, "a data key is not to be had");
        Self::Unavailable
    }
}

impl From<Refusal> for SignInError {
    fn from(_: Refusal) -> Self {
        Self::Unavailable
    }
}
