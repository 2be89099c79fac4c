-- Signing in at third-party MCP servers: who issues their tokens, as which client we are known there, and the sign-ins
-- that are under way. Everything is one connection's own. States and browsers are here as SHA-256 only, verifiers and
-- client secrets sealed.

CREATE TABLE upstream_issuer (
    organization_id BLOB NOT NULL,
    connection_id BLOB NOT NULL,
    issuer TEXT NOT NULL,
    found_at INTEGER NOT NULL,
    found TEXT NOT NULL,
    PRIMARY KEY (organization_id, connection_id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE upstream_client (
    organization_id BLOB NOT NULL,
    connection_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    issuer TEXT,
    client_id TEXT NOT NULL,
    authentication TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    management_uri TEXT,
    data_key_id BLOB,
    sealed BLOB,
    PRIMARY KEY (organization_id, connection_id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;

CREATE TABLE upstream_authorization (
    organization_id BLOB NOT NULL,
    id BLOB NOT NULL,
    connection_id BLOB NOT NULL,
    member_id BLOB NOT NULL,
    shared INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    state_hash BLOB UNIQUE,
    browser_hash BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    request TEXT NOT NULL,
    data_key_id BLOB,
    sealed BLOB,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;
