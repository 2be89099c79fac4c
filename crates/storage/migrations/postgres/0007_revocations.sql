-- Tokens of third parties that were taken away here and whose provider has yet to hear of it. They outlive their
-- connection and their member, so there is no foreign key to either; the envelope is still the credential's.

CREATE TABLE revocation (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    member_id UUID,
    data_key_id UUID NOT NULL,
    generation BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
CREATE INDEX revocation_due ON revocation (organization_id, next_at);
