-- Tasks that run at upstreams, under ids of ours: whose they are, and what they are called there. Every process knows them.
CREATE TABLE mcp_task (
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    id UUID NOT NULL,
    caller TEXT NOT NULL,
    resource TEXT NOT NULL,
    connection_id UUID NOT NULL,
    tool TEXT NOT NULL,
    approval_id UUID,
    upstream_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX mcp_task_by_caller ON mcp_task (organization_id, caller, last_seen_at);

-- Request states that let an approved call go on, used up: by the SHA-256 of what the client sent.
CREATE TABLE mcp_used_state (
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    hash BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, hash)
);
