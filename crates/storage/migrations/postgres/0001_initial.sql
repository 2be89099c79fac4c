-- Organizations, who is in them, what they connected and what happened.
-- Every tenant table names organization_id, and foreign keys carry it, so that no row can point into
-- another organization. Instants are microseconds since the Unix epoch. Large columns come last.

CREATE TABLE organization (
    id UUID NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    settings JSONB NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE member (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    password_hash TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, email_key)
);

CREATE TABLE team (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name)
);

CREATE TABLE team_member (
    organization_id UUID NOT NULL,
    team_id UUID NOT NULL,
    member_id UUID NOT NULL,
    PRIMARY KEY (organization_id, team_id, member_id),
    FOREIGN KEY (organization_id, team_id) REFERENCES team (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX team_member_by_member ON team_member (organization_id, member_id);

CREATE TABLE service_account (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name)
);

CREATE TABLE connection (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    owner_member_id UUID,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    transport TEXT NOT NULL,
    auth_type TEXT NOT NULL,
    auth JSONB NOT NULL,
    credential_mode TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    availability TEXT NOT NULL,
    allow_in_plan_mode BOOLEAN NOT NULL,
    model_intent BOOLEAN NOT NULL,
    expose_directly BOOLEAN NOT NULL,
    send_identity BOOLEAN NOT NULL,
    tools JSONB NOT NULL,
    external_key TEXT,
    status TEXT NOT NULL,
    status_reason TEXT,
    status_message TEXT,
    status_since BIGINT NOT NULL,
    checked_at BIGINT,
    diagnosis JSONB,
    era TEXT,
    instructions TEXT,
    catalog_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, owner_member_id) REFERENCES member (organization_id, id)
);
CREATE UNIQUE INDEX connection_slug ON connection (organization_id, slug) WHERE owner_member_id IS NULL;
CREATE UNIQUE INDEX connection_personal_slug ON connection (organization_id, owner_member_id, slug)
    WHERE owner_member_id IS NOT NULL;
CREATE UNIQUE INDEX connection_external_key ON connection (organization_id, external_key)
    WHERE external_key IS NOT NULL;

CREATE TABLE connection_grant (
    organization_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    subject TEXT NOT NULL,
    member_id UUID,
    team_id UUID,
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, team_id) REFERENCES team (organization_id, id) ON DELETE CASCADE,
    CHECK (
        (subject = 'everyone' AND member_id IS NULL AND team_id IS NULL)
        OR (subject = 'member' AND member_id IS NOT NULL AND team_id IS NULL)
        OR (subject = 'team' AND member_id IS NULL AND team_id IS NOT NULL)
    )
);
CREATE UNIQUE INDEX connection_grant_everyone ON connection_grant (organization_id, connection_id)
    WHERE subject = 'everyone';
CREATE UNIQUE INDEX connection_grant_member ON connection_grant (organization_id, connection_id, member_id)
    WHERE member_id IS NOT NULL;
CREATE UNIQUE INDEX connection_grant_team ON connection_grant (organization_id, connection_id, team_id)
    WHERE team_id IS NOT NULL;

CREATE TABLE key_encryption_key (
    id UUID NOT NULL PRIMARY KEY,
    sentinel BYTEA NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE data_key (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    key_encryption_key_id UUID NOT NULL REFERENCES key_encryption_key (id),
    wrapped BYTEA NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX data_key_active ON data_key (organization_id) WHERE state = 'active';

CREATE TABLE credential (
    organization_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    member_id UUID,
    data_key_id UUID NOT NULL,
    generation BIGINT NOT NULL,
    health TEXT NOT NULL,
    expires_at BIGINT,
    updated_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
CREATE UNIQUE INDEX credential_shared ON credential (organization_id, connection_id) WHERE member_id IS NULL;
CREATE UNIQUE INDEX credential_member ON credential (organization_id, connection_id, member_id)
    WHERE member_id IS NOT NULL;
CREATE INDEX credential_by_data_key ON credential (organization_id, data_key_id);

CREATE TABLE capability (
    organization_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    approved_fingerprint BYTEA,
    first_seen_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    title TEXT,
    summary TEXT NOT NULL,
    definition TEXT NOT NULL,
    approved_definition TEXT,
    PRIMARY KEY (organization_id, connection_id, kind, name),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE token (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    member_id UUID,
    service_account_id UUID,
    name TEXT NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    last_four TEXT NOT NULL,
    scopes JSONB NOT NULL,
    resource TEXT,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, service_account_id) REFERENCES service_account (organization_id, id)
        ON DELETE CASCADE,
    CHECK ((member_id IS NULL) <> (service_account_id IS NULL))
);

CREATE TABLE audit_entry (
    organization_id UUID NOT NULL REFERENCES organization (id),
    writer_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    phase TEXT NOT NULL,
    action TEXT NOT NULL,
    call_id TEXT,
    actor TEXT,
    target TEXT,
    outcome TEXT,
    previous_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (organization_id, writer_id, seq)
);
CREATE INDEX audit_entry_by_time ON audit_entry (organization_id, at, writer_id, seq);

CREATE TABLE setup_link (
    id UUID NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE toolkit (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    owner_member_id UUID,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    surface TEXT NOT NULL,
    patterns JSONB NOT NULL,
    members JSONB NOT NULL,
    teams JSONB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, slug),
    FOREIGN KEY (organization_id, owner_member_id) REFERENCES member (organization_id, id)
);

CREATE TABLE policy (
    organization_id UUID NOT NULL REFERENCES organization (id),
    layer TEXT NOT NULL,
    layer_id UUID NOT NULL,
    rules JSONB NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (organization_id, layer, layer_id)
);

CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    holder UUID NOT NULL,
    generation BIGINT NOT NULL,
    until BIGINT NOT NULL
);

-- Whoever changes what callers may see raises the organization's version; replicas that listen hear of it
-- at once. A hint only: the version itself is polled.
CREATE FUNCTION organization_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('switchboard_changes', NEW.id::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER organization_changed AFTER UPDATE OF version ON organization
    FOR EACH ROW EXECUTE FUNCTION organization_changed();
