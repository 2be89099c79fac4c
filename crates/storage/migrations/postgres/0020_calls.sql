-- Calls by when they ended, for the overview and the activity of a connection: counted and found without reading the
-- entries of everything else.

CREATE INDEX audit_entry_of_calls ON audit_entry (organization_id, at, target, outcome)
    WHERE action = 'capability.execute' AND phase = 'completed';

-- When a client first came with what it was given: the last step of its sign-in.
ALTER TABLE oauth_grant ADD COLUMN first_used_at BIGINT;
