-- Sessions of MCP's older generation: what a client said of itself in `initialize`, for every process that serves it.
-- The id that the client sends is a secret of it: here is its SHA-256.
CREATE TABLE mcp_session (
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    hash BLOB NOT NULL,
    caller TEXT NOT NULL,
    client TEXT NOT NULL,
    resource TEXT NOT NULL,
    version TEXT NOT NULL,
    questions TEXT,
    log_level TEXT,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, hash)
) STRICT;
