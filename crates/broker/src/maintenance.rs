//! The one place that makes permits for work without a caller.

use switchboard_domain::{ConnectionId, OrganizationId};
use switchboard_policy::{MaintenancePermit, MaintenancePurpose};

/// For listing an upstream's tools into the catalogue.
pub(crate) fn listing(organization: OrganizationId, connection: ConnectionId) -> MaintenancePermit {
    MaintenancePermit::for_background(MaintenancePurpose::Listing, organization, connection)
}

/// For diagnosing a connection.
pub(crate) fn check(organization: OrganizationId, connection: ConnectionId) -> MaintenancePermit {
    MaintenancePermit::for_background(MaintenancePurpose::Check, organization, connection)
}
