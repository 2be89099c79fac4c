-- Forms that were sent after their session had ended, sealed: whichever process their member signs in at has them. The handle is
-- in the cookie of the browser that sent it.
CREATE TABLE kept_form (
    organization_id BLOB NOT NULL,
    id BLOB NOT NULL,
    member_id BLOB NOT NULL,
    handle_hash BLOB NOT NULL UNIQUE,
    data_key_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES member (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;
