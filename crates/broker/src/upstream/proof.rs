//! Why an upstream may be spoken to.

use switchboard_domain::Connection;
use switchboard_policy::{MaintenancePermit, Permit};

use super::UpstreamError;

/// Why an upstream may be spoken to: a decision about a call, or work without a caller. Nothing gets a session
/// without one of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Proof<'p> {
    Call(&'p Permit),
    Background(&'p MaintenancePermit),
}

impl Proof<'_> {
    fn is_for(&self, connection: &Connection) -> bool {
        let (organization, id) = match self {
            Self::Call(permit) => (permit.organization(), permit.connection()),
            Self::Background(permit) => (permit.organization(), permit.connection()),
        };
        organization == connection.organization && id == connection.id
    }
}

/// A permit for something else opens nothing.
pub(super) fn prove(proof: Proof<'_>, connection: &Connection) -> Result<(), UpstreamError> {
    if proof.is_for(connection) {
        return Ok(());
    }
    Err(UpstreamError::NotAllowed("the permit is for another connection".into()))
}
