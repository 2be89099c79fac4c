-- The key that a connection signs the identity of its callers with, for servers that want to know for whom a call is.

CREATE TABLE connection_key (
    organization_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    public_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    data_key_id UUID NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (organization_id, connection_id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
