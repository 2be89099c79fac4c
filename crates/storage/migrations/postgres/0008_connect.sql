-- Signing in at third-party MCP servers: who issues their tokens, as which client we are known there, and the sign-ins
-- that are under way. Everything is one connection's own. States and browsers are here as SHA-256 only, verifiers and
-- client secrets sealed.

CREATE TABLE upstream_issuer (
    organization_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    issuer TEXT NOT NULL,
    found_at BIGINT NOT NULL,
    found JSONB NOT NULL,
    PRIMARY KEY (organization_id, connection_id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE upstream_client (
    organization_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    kind TEXT NOT NULL,
    issuer TEXT,
    client_id TEXT NOT NULL,
    authentication TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    management_uri TEXT,
    data_key_id UUID,
    sealed BYTEA,
    PRIMARY KEY (organization_id, connection_id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);

CREATE TABLE upstream_authorization (
    organization_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    member_id UUID NOT NULL,
    shared BOOLEAN NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    state_hash BYTEA UNIQUE,
    browser_hash BYTEA,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    request JSONB NOT NULL,
    data_key_id UUID,
    sealed BYTEA,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
