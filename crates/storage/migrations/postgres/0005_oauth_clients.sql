-- Clients of other owners (those that registered or have a document) that one organization's admins don't let in.

CREATE TABLE disabled_oauth_client (
    organization_id UUID NOT NULL REFERENCES organization (id),
    oauth_client_id UUID NOT NULL REFERENCES oauth_client (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, oauth_client_id)
);
