-- How much is called: sums by day, caller, connection and outcome, added to in batches; and what of its quotas is used.

CREATE TABLE call_usage (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    day INTEGER NOT NULL,
    caller TEXT NOT NULL,
    connection TEXT NOT NULL,
    outcome TEXT NOT NULL,
    calls INTEGER NOT NULL,
    request_bytes INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (organization_id, day, caller, connection, outcome)
) STRICT;

CREATE TABLE quota_use (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    subject TEXT NOT NULL,
    period TEXT NOT NULL,
    since INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (organization_id, subject, period, since)
) STRICT;
