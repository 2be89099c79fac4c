-- People come in: invitations, sessions, the company's identity provider; and their AI clients sign in: the
-- authorization server's clients, requests, grants and tokens. Secrets of ours are here as SHA-256 only, secrets of
-- others sealed. What is not yet of one organization (a client that registered itself, a request whose person is not
-- known) has no organization_id.

CREATE TABLE invitation (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    role TEXT NOT NULL,
    teams TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    invited_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    accepted_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (organization_id, id)
) STRICT;

CREATE TABLE session (
    organization_id BLOB NOT NULL,
    id BLOB NOT NULL,
    member_id BLOB NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    method TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX session_by_member ON session (organization_id, member_id);

CREATE TABLE identity_provider (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    settings TEXT NOT NULL,
    data_key_id BLOB,
    sealed BLOB,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, slug),
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;

CREATE TABLE identity (
    organization_id BLOB NOT NULL,
    id BLOB NOT NULL,
    member_id BLOB NOT NULL,
    identity_provider_id BLOB NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    email TEXT,
    created_at INTEGER NOT NULL,
    last_sign_in_at INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    health TEXT NOT NULL,
    expires_at INTEGER,
    data_key_id BLOB,
    sealed BLOB,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, issuer, subject),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, identity_provider_id)
        REFERENCES identity_provider (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;
CREATE INDEX identity_by_member ON identity (organization_id, member_id);

CREATE TABLE sign_in (
    organization_id BLOB NOT NULL,
    identity_provider_id BLOB NOT NULL,
    state_hash BLOB NOT NULL UNIQUE,
    browser_hash BLOB NOT NULL,
    return_to TEXT NOT NULL,
    invitation_hash BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, state_hash),
    FOREIGN KEY (organization_id, identity_provider_id)
        REFERENCES identity_provider (organization_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE oauth_client (
    id BLOB NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    owner_organization_id BLOB REFERENCES organization (id),
    name TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    secret_hash BLOB,
    fingerprint BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    fresh_until INTEGER,
    last_used_at INTEGER,
    expires_at INTEGER,
    disabled_at INTEGER,
    source TEXT,
    metadata TEXT NOT NULL
) STRICT;

CREATE TABLE oauth_request (
    hash BLOB NOT NULL PRIMARY KEY,
    oauth_client_id BLOB NOT NULL REFERENCES oauth_client (id) ON DELETE CASCADE,
    browser_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_at INTEGER,
    request TEXT NOT NULL
) STRICT;

CREATE TABLE oauth_grant (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    member_id BLOB,
    service_account_id BLOB,
    oauth_client_id BLOB NOT NULL REFERENCES oauth_client (id) ON DELETE CASCADE,
    client_fingerprint BLOB NOT NULL,
    resource TEXT NOT NULL,
    scopes TEXT NOT NULL,
    toolkits TEXT,
    redirect_uri TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_reason TEXT,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, service_account_id) REFERENCES service_account (organization_id, id)
        ON DELETE CASCADE,
    CHECK ((member_id IS NULL) <> (service_account_id IS NULL))
) STRICT;
CREATE INDEX oauth_grant_by_member ON oauth_grant (organization_id, member_id);
CREATE INDEX oauth_grant_by_client ON oauth_grant (organization_id, oauth_client_id);

CREATE TABLE oauth_code (
    organization_id BLOB NOT NULL,
    oauth_grant_id BLOB NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    PRIMARY KEY (organization_id, hash),
    FOREIGN KEY (organization_id, oauth_grant_id) REFERENCES oauth_grant (organization_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE oauth_refresh_token (
    organization_id BLOB NOT NULL,
    id BLOB NOT NULL,
    oauth_grant_id BLOB NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    data_key_id BLOB,
    successor BLOB,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, oauth_grant_id) REFERENCES oauth_grant (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;
CREATE INDEX oauth_refresh_token_by_grant ON oauth_refresh_token (organization_id, oauth_grant_id);

-- Access tokens of the authorization server are tokens like others, of a grant.
ALTER TABLE token ADD COLUMN oauth_grant_id BLOB;
ALTER TABLE token ADD COLUMN toolkits TEXT;
ALTER TABLE token ADD COLUMN client TEXT;
CREATE INDEX token_by_grant ON token (organization_id, oauth_grant_id) WHERE oauth_grant_id IS NOT NULL;

ALTER TABLE member ADD COLUMN last_seen_at INTEGER;
