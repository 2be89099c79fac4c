-- Signed statements about the chains of the audit log: where a writer's chain ends (head), and up to where it was
-- deleted because its time was over (checkpoint). The statement is signed; a row changed by hand does not verify.

CREATE TABLE audit_head (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    writer_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    hash BLOB NOT NULL,
    public_key BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (organization_id, writer_id, kind)
) STRICT;
