-- Forms that were sent after their session had ended, sealed: whichever process their member signs in at has them. The handle is
-- in the cookie of the browser that sent it.
CREATE TABLE kept_form (
    organization_id UUID NOT NULL,
    id UUID NOT NULL,
    member_id UUID NOT NULL,
    handle_hash BYTEA NOT NULL UNIQUE,
    data_key_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
