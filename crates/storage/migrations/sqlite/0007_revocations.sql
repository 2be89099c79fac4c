-- Tokens of third parties that were taken away here and whose provider has yet to hear of it. They outlive their
-- connection and their member, so there is no foreign key to either; the envelope is still the credential's.

CREATE TABLE revocation (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    connection_id BLOB NOT NULL,
    member_id BLOB,
    data_key_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;
CREATE INDEX revocation_due ON revocation (organization_id, next_at);
