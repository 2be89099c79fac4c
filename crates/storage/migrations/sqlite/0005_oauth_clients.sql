-- Clients of other owners (those that registered or have a document) that one organization's admins don't let in.

CREATE TABLE disabled_oauth_client (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    oauth_client_id BLOB NOT NULL REFERENCES oauth_client (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, oauth_client_id)
) STRICT;
