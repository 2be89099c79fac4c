-- How much is called: sums by day, caller, connection and outcome, added to in batches; and what of its quotas is used.

CREATE TABLE call_usage (
    organization_id UUID NOT NULL REFERENCES organization (id),
    day BIGINT NOT NULL,
    caller TEXT NOT NULL,
    connection TEXT NOT NULL,
    outcome TEXT NOT NULL,
    calls BIGINT NOT NULL,
    request_bytes BIGINT NOT NULL,
    response_bytes BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    PRIMARY KEY (organization_id, day, caller, connection, outcome)
);

CREATE TABLE quota_use (
    organization_id UUID NOT NULL REFERENCES organization (id),
    subject TEXT NOT NULL,
    period TEXT NOT NULL,
    since BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (organization_id, subject, period, since)
);
