-- Who is asked about each call of an organization, before it goes out or after its result came back.

CREATE TABLE guardrail (
    organization_id UUID NOT NULL PRIMARY KEY REFERENCES organization (id),
    id UUID NOT NULL,
    url TEXT NOT NULL,
    before_call BOOLEAN NOT NULL,
    after_result BOOLEAN NOT NULL,
    on_failure TEXT NOT NULL,
    data_key_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);
