-- What one process has to tell another about a client's request: an answer, a cancellation, a stream that is taken up. It is
-- looked at within a second and kept for minutes; bodies are sealed, and not worth a rotation of keys.
CREATE TABLE mcp_letter (
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    id UUID NOT NULL,
    about BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    data_key_id UUID NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX mcp_letter_by_time ON mcp_letter (organization_id, created_at);

-- Messages of a stream that is read at another process than the one that runs its call.
CREATE TABLE mcp_event (
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    stream BYTEA NOT NULL,
    seq BIGINT NOT NULL,
    is_last BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    id UUID NOT NULL,
    data_key_id UUID NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (organization_id, stream, seq)
);
