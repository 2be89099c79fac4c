-- Signed statements about the chains of the audit log: where a writer's chain ends (head), and up to where it was
-- deleted because its time was over (checkpoint). The statement is signed; a row changed by hand does not verify.

CREATE TABLE audit_head (
    organization_id UUID NOT NULL REFERENCES organization (id),
    writer_id UUID NOT NULL,
    kind TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (organization_id, writer_id, kind)
);
