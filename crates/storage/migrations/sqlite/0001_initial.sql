-- Organizations, who is in them, what they connected and what happened.
-- Every tenant table names organization_id, and foreign keys carry it, so that no row can point into
-- another organization. Instants are microseconds since the Unix epoch. Large columns come last.

CREATE TABLE organization (
    id BLOB NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE member (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    password_hash TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, email_key)
) STRICT;

CREATE TABLE team (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name)
) STRICT;

CREATE TABLE team_member (
    organization_id BLOB NOT NULL,
    team_id BLOB NOT NULL,
    member_id BLOB NOT NULL,
    PRIMARY KEY (organization_id, team_id, member_id),
    FOREIGN KEY (organization_id, team_id) REFERENCES team (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX team_member_by_member ON team_member (organization_id, member_id);

CREATE TABLE service_account (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name)
) STRICT;

CREATE TABLE connection (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    owner_member_id BLOB,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    transport TEXT NOT NULL,
    auth_type TEXT NOT NULL,
    auth TEXT NOT NULL,
    credential_mode TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    availability TEXT NOT NULL,
    allow_in_plan_mode INTEGER NOT NULL,
    model_intent INTEGER NOT NULL,
    expose_directly INTEGER NOT NULL,
    send_identity INTEGER NOT NULL,
    tools TEXT NOT NULL,
    external_key TEXT,
    status TEXT NOT NULL,
    status_reason TEXT,
    status_message TEXT,
    status_since INTEGER NOT NULL,
    checked_at INTEGER,
    diagnosis TEXT,
    era TEXT,
    instructions TEXT,
    catalog_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, owner_member_id) REFERENCES member (organization_id, id)
) STRICT;
CREATE UNIQUE INDEX connection_slug ON connection (organization_id, slug) WHERE owner_member_id IS NULL;
CREATE UNIQUE INDEX connection_personal_slug ON connection (organization_id, owner_member_id, slug)
    WHERE owner_member_id IS NOT NULL;
CREATE UNIQUE INDEX connection_external_key ON connection (organization_id, external_key)
    WHERE external_key IS NOT NULL;

CREATE TABLE connection_grant (
    organization_id BLOB NOT NULL,
    connection_id BLOB NOT NULL,
    subject TEXT NOT NULL,
    member_id BLOB,
    team_id BLOB,
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, team_id) REFERENCES team (organization_id, id) ON DELETE CASCADE,
    CHECK (
        (subject = 'everyone' AND member_id IS NULL AND team_id IS NULL)
        OR (subject = 'member' AND member_id IS NOT NULL AND team_id IS NULL)
        OR (subject = 'team' AND member_id IS NULL AND team_id IS NOT NULL)
    )
) STRICT;
CREATE UNIQUE INDEX connection_grant_everyone ON connection_grant (organization_id, connection_id)
    WHERE subject = 'everyone';
CREATE UNIQUE INDEX connection_grant_member ON connection_grant (organization_id, connection_id, member_id)
    WHERE member_id IS NOT NULL;
CREATE UNIQUE INDEX connection_grant_team ON connection_grant (organization_id, connection_id, team_id)
    WHERE team_id IS NOT NULL;

CREATE TABLE key_encryption_key (
    id BLOB NOT NULL PRIMARY KEY,
    sentinel BLOB NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE data_key (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    key_encryption_key_id BLOB NOT NULL REFERENCES key_encryption_key (id),
    wrapped BLOB NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, id)
) STRICT;
CREATE UNIQUE INDEX data_key_active ON data_key (organization_id) WHERE state = 'active';

CREATE TABLE credential (
    organization_id BLOB NOT NULL,
    id BLOB NOT NULL,
    connection_id BLOB NOT NULL,
    member_id BLOB,
    data_key_id BLOB NOT NULL,
    generation INTEGER NOT NULL,
    health TEXT NOT NULL,
    expires_at INTEGER,
    updated_at INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;
CREATE UNIQUE INDEX credential_shared ON credential (organization_id, connection_id) WHERE member_id IS NULL;
CREATE UNIQUE INDEX credential_member ON credential (organization_id, connection_id, member_id)
    WHERE member_id IS NOT NULL;
CREATE INDEX credential_by_data_key ON credential (organization_id, data_key_id);

CREATE TABLE capability (
    organization_id BLOB NOT NULL,
    connection_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    approved_fingerprint BLOB,
    first_seen_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    title TEXT,
    summary TEXT NOT NULL,
    definition TEXT NOT NULL,
    approved_definition TEXT,
    PRIMARY KEY (organization_id, connection_id, kind, name),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE token (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    member_id BLOB,
    service_account_id BLOB,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    last_four TEXT NOT NULL,
    scopes TEXT NOT NULL,
    resource TEXT,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, service_account_id) REFERENCES service_account (organization_id, id)
        ON DELETE CASCADE,
    CHECK ((member_id IS NULL) <> (service_account_id IS NULL))
) STRICT;

CREATE TABLE audit_entry (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    writer_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    phase TEXT NOT NULL,
    action TEXT NOT NULL,
    call_id TEXT,
    actor TEXT,
    target TEXT,
    outcome TEXT,
    previous_hash BLOB NOT NULL,
    hash BLOB NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (organization_id, writer_id, seq)
) STRICT;
CREATE INDEX audit_entry_by_time ON audit_entry (organization_id, at, writer_id, seq);

CREATE TABLE setup_link (
    id BLOB NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;

CREATE TABLE toolkit (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    owner_member_id BLOB,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    surface TEXT NOT NULL,
    patterns TEXT NOT NULL,
    members TEXT NOT NULL,
    teams TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, slug),
    FOREIGN KEY (organization_id, owner_member_id) REFERENCES member (organization_id, id)
) STRICT;

CREATE TABLE policy (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    layer TEXT NOT NULL,
    layer_id BLOB NOT NULL,
    rules TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (organization_id, layer, layer_id)
) STRICT;

CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    holder BLOB NOT NULL,
    generation INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;
