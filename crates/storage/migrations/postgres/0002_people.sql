-- People come in: invitations, sessions, the company's identity provider; and their AI clients sign in: the
-- authorization server's clients, requests, grants and tokens. Secrets of ours are here as SHA-256 only, secrets of
-- others sealed. What is not yet of one organization (a client that registered itself, a request whose person is not
-- known) has no organization_id.

CREATE TABLE invitation (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    role TEXT NOT NULL,
    teams JSONB NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    invited_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    accepted_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE session (
    organization_id UUID NOT NULL,
    id UUID NOT NULL,
    member_id UUID NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    method TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX session_by_member ON session (organization_id, member_id);

CREATE TABLE identity_provider (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    settings JSONB NOT NULL,
    data_key_id UUID,
    sealed BYTEA,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, slug),
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);

CREATE TABLE identity (
    organization_id UUID NOT NULL,
    id UUID NOT NULL,
    member_id UUID NOT NULL,
    identity_provider_id UUID NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    email TEXT,
    created_at BIGINT NOT NULL,
    last_sign_in_at BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    health TEXT NOT NULL,
    expires_at BIGINT,
    data_key_id UUID,
    sealed BYTEA,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, issuer, subject),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, identity_provider_id)
        REFERENCES identity_provider (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
CREATE INDEX identity_by_member ON identity (organization_id, member_id);

CREATE TABLE sign_in (
    organization_id UUID NOT NULL,
    identity_provider_id UUID NOT NULL,
    state_hash BYTEA NOT NULL UNIQUE,
    browser_hash BYTEA NOT NULL,
    return_to TEXT NOT NULL,
    invitation_hash BYTEA,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, state_hash),
    FOREIGN KEY (organization_id, identity_provider_id)
        REFERENCES identity_provider (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE oauth_client (
    id UUID NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    owner_organization_id UUID REFERENCES organization (id),
    name TEXT NOT NULL,
    redirect_uris JSONB NOT NULL,
    secret_hash BYTEA,
    fingerprint BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    fresh_until BIGINT,
    last_used_at BIGINT,
    expires_at BIGINT,
    disabled_at BIGINT,
    source TEXT,
    metadata JSONB NOT NULL
);

CREATE TABLE oauth_request (
    hash BYTEA NOT NULL PRIMARY KEY,
    oauth_client_id UUID NOT NULL REFERENCES oauth_client (id) ON DELETE CASCADE,
    browser_hash BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_at BIGINT,
    request JSONB NOT NULL
);

CREATE TABLE oauth_grant (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    member_id UUID,
    service_account_id UUID,
    oauth_client_id UUID NOT NULL REFERENCES oauth_client (id) ON DELETE CASCADE,
    client_fingerprint BYTEA NOT NULL,
    resource TEXT NOT NULL,
    scopes JSONB NOT NULL,
    toolkits JSONB,
    redirect_uri TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_reason TEXT,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, service_account_id) REFERENCES service_account (organization_id, id)
        ON DELETE CASCADE,
    CHECK ((member_id IS NULL) <> (service_account_id IS NULL))
);
CREATE INDEX oauth_grant_by_member ON oauth_grant (organization_id, member_id);
CREATE INDEX oauth_grant_by_client ON oauth_grant (organization_id, oauth_client_id);

CREATE TABLE oauth_code (
    organization_id UUID NOT NULL,
    oauth_grant_id UUID NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (organization_id, hash),
    FOREIGN KEY (organization_id, oauth_grant_id) REFERENCES oauth_grant (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE oauth_refresh_token (
    organization_id UUID NOT NULL,
    id UUID NOT NULL,
    oauth_grant_id UUID NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    data_key_id UUID,
    successor BYTEA,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, oauth_grant_id) REFERENCES oauth_grant (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
CREATE INDEX oauth_refresh_token_by_grant ON oauth_refresh_token (organization_id, oauth_grant_id);

-- Access tokens of the authorization server are tokens like others, of a grant.
ALTER TABLE token ADD COLUMN oauth_grant_id UUID;
ALTER TABLE token ADD COLUMN toolkits JSONB;
ALTER TABLE token ADD COLUMN client TEXT;
CREATE INDEX token_by_grant ON token (organization_id, oauth_grant_id) WHERE oauth_grant_id IS NOT NULL;

ALTER TABLE member ADD COLUMN last_seen_at BIGINT;
