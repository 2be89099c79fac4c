-- Calls that rules hold until a person decides. Who asked is a member or a service account; the token and the client
-- that asked are remembered, because they may not decide. What was asked for (arguments, intent) is sealed.

CREATE TABLE approval (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    member_id BLOB,
    service_account_id BLOB,
    token_id BLOB,
    oauth_client TEXT,
    client TEXT NOT NULL,
    resource TEXT NOT NULL,
    connection_id BLOB NOT NULL,
    capability TEXT NOT NULL,
    kind TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    arguments_digest BLOB NOT NULL,
    rule TEXT,
    requirement TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_by BLOB,
    decided_at INTEGER,
    used_at INTEGER,
    data_key_id BLOB NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, service_account_id) REFERENCES service_account (organization_id, id)
        ON DELETE CASCADE,
    FOREIGN KEY (organization_id, connection_id) REFERENCES connection (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, decided_by) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id),
    CHECK ((member_id IS NULL) <> (service_account_id IS NULL))
) STRICT;
CREATE INDEX approval_by_status ON approval (organization_id, status, expires_at);
CREATE INDEX approval_by_digest ON approval (organization_id, arguments_digest);
