-- What one process has to tell another about a client's request: an answer, a cancellation, a stream that is taken up. It is
-- looked at within a second and kept for minutes; bodies are sealed, and not worth a rotation of keys.
CREATE TABLE mcp_letter (
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    id BLOB NOT NULL,
    about BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    data_key_id BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (organization_id, id)
) STRICT;
CREATE INDEX mcp_letter_by_time ON mcp_letter (organization_id, created_at);

-- Messages of a stream that is read at another process than the one that runs its call.
CREATE TABLE mcp_event (
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    stream BLOB NOT NULL,
    seq INTEGER NOT NULL,
    is_last INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    id BLOB NOT NULL,
    data_key_id BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (organization_id, stream, seq)
) STRICT;
