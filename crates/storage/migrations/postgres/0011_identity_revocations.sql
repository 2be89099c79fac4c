-- Tokens of members' identity providers that were taken away with their membership and whose provider has yet to hear of
-- it. They outlive their member, and their provider here; the envelope is still the identity's.

CREATE TABLE identity_revocation (
    organization_id UUID NOT NULL REFERENCES organization (id),
    identity_id UUID NOT NULL,
    generation BIGINT NOT NULL,
    member_id UUID NOT NULL,
    identity_provider_id UUID NOT NULL,
    issuer TEXT NOT NULL,
    data_key_id UUID NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (organization_id, identity_id, generation),
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
CREATE INDEX identity_revocation_due ON identity_revocation (organization_id, next_at);
