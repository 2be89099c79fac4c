-- Tokens of members' identity providers that were taken away with their membership and whose provider has yet to hear of
-- it. They outlive their member, and their provider here; the envelope is still the identity's.

CREATE TABLE identity_revocation (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    identity_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    member_id BLOB NOT NULL,
    identity_provider_id BLOB NOT NULL,
    issuer TEXT NOT NULL,
    data_key_id BLOB NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (organization_id, identity_id, generation),
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;
CREATE INDEX identity_revocation_due ON identity_revocation (organization_id, next_at);
