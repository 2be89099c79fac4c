-- Resources whose changes a client of MCP's older generation wants to hear of: with its session, so that whichever process has its
-- stream tells of them.
CREATE TABLE mcp_watched (
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    session_hash BLOB NOT NULL,
    uri TEXT NOT NULL,
    PRIMARY KEY (organization_id, session_hash, uri)
) STRICT;
