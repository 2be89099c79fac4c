//! Proof that a decision was made.
//!
//! Only [`crate::evaluate`] makes a [`Permit`]. Elsewhere it can be received and read,
//!
//! ```
//! fn audit(permit: &switchboard_policy::Permit) -> (switchboard_domain::ConnectionId, switchboard_policy::Trace) {
//!     (permit.connection(), permit.trace())
//! }
//! fn takes_serde<T: serde::de::DeserializeOwned>() {}
//! ```
//!
//! but it can't be written down,
//!
//! ```compile_fail,E0451
//! use switchboard_policy::Permit;
//! fn forge(permit: Permit, other: switchboard_domain::ConnectionId) -> Permit {
//!     Permit { connection: other, ..permit }
//! }
//! ```
//!
//! made out of nothing,
//!
//! ```compile_fail,E0277
//! fn needs_default<T: Default>() {}
//! needs_default::<switchboard_policy::Permit>();
//! ```
//!
//! or kept for a second call: it is moved, never copied.
//!
//! ```compile_fail,E0277
//! fn needs_clone<T: Clone>() {}
//! needs_clone::<switchboard_policy::Permit>();
//! ```
//!
//! ```compile_fail,E0616
//! fn change(mut permit: switchboard_policy::Permit, other: switchboard_domain::ConnectionId) {
//!     permit.connection = other;
//! }
//! ```
//!
//! Nor can it be read from data:
//!
//! ```compile_fail,E0277
//! fn needs_deserialize<T: serde::de::DeserializeOwned>() {}
//! needs_deserialize::<switchboard_policy::Permit>();
//! ```

use switchboard_domain::{
    ApprovalId, Caller, CapabilityKind, CapabilityName, ConnectionId, CredentialOwner, OrganizationId,
};

use crate::{decision::Trace, subject::Subject};

/// This caller may run this capability of this connection, once, with this credential.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    organization: OrganizationId,
    connection: ConnectionId,
    capability: CapabilityName,
    kind: CapabilityKind,
    caller: Caller,
    credential: CredentialOwner,
    trace: Trace,
    approval: Option<ApprovalId>,
}

impl Permit {
    pub(crate) fn new(
        subject: &Subject<'_>,
        credential: CredentialOwner,
        trace: Trace,
        approval: Option<ApprovalId>,
    ) -> Self {
        Self {
            organization: subject.requester.organization,
            connection: subject.connection.id,
            capability: CapabilityName {
                personal: subject.connection.is_personal(),
                slug: subject.connection.slug.clone(),
                name: subject.capability.name.into(),
            },
            kind: subject.capability.kind,
            caller: subject.requester.caller,
            credential,
            trace,
            approval,
        }
    }

    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    pub fn capability(&self) -> &CapabilityName {
        &self.capability
    }

    pub fn kind(&self) -> CapabilityKind {
        self.kind
    }

    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// Whose credential to unlock: shared, or the caller's own.
    pub fn credential(&self) -> CredentialOwner {
        self.credential
    }

    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// The approval that was used up for it.
    pub fn approval(&self) -> Option<ApprovalId> {
        self.approval
    }
}

/// Why something runs that no caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MaintenancePurpose {
    /// Renewing an access token.
    Refresh,
    /// Listing an upstream's capabilities for the catalogue.
    Listing,
    /// Diagnosing a connection.
    Check,
    /// Revoking a credential at its provider.
    Revocation,
}

impl MaintenancePurpose {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Listing => "listing",
            Self::Check => "check",
            Self::Revocation => "revocation",
        }
    }
}

/// Stands in for a [`Permit`] where there is no caller. It opens a connection's credential and session for one
/// purpose and never runs a capability.
///
/// One module of `broker` makes it; search for `for_background` to see that it is still one.
#[derive(Debug)]
#[must_use]
pub struct MaintenancePermit {
    purpose: MaintenancePurpose,
    organization: OrganizationId,
    connection: ConnectionId,
}

impl MaintenancePermit {
    /// Only for the one module of `broker` that runs background work.
    pub fn for_background(
        purpose: MaintenancePurpose,
        organization: OrganizationId,
        connection: ConnectionId,
    ) -> Self {
        Self { purpose, organization, connection }
    }

    pub fn purpose(&self) -> MaintenancePurpose {
        self.purpose
    }

    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    pub fn connection(&self) -> ConnectionId {
        self.connection
    }
}
