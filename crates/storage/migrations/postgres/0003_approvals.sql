-- Calls that rules hold until a person decides. Who asked is a member or a service account; the token and the client
-- that asked are remembered, because they may not decide. What was asked for (arguments, intent) is sealed.

CREATE TABLE approval (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    member_id UUID,
    service_account_id UUID,
    token_id UUID,
    oauth_client TEXT,
    client TEXT NOT NULL,
    resource TEXT NOT NULL,
    connection_id UUID NOT NULL,
    capability TEXT NOT NULL,
    kind TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    arguments_digest BYTEA NOT NULL,
    rule TEXT,
    requirement JSONB NOT NULL,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_by UUID,
    decided_at BIGINT,
    used_at BIGINT,
    data_key_id UUID NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, service_account_id) REFERENCES service_account (organization_id, id)
        ON DELETE CASCADE,
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, decided_by) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id),
    CHECK ((member_id IS NULL) <> (service_account_id IS NULL))
);
CREATE INDEX approval_by_status ON approval (organization_id, status, expires_at);
CREATE INDEX approval_by_digest ON approval (organization_id, arguments_digest);
