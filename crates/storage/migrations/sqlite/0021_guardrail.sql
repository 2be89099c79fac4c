-- Who is asked about each call of an organization, before it goes out or after its result came back.

CREATE TABLE guardrail (
    organization_id BLOB NOT NULL PRIMARY KEY REFERENCES organization (id),
    id BLOB NOT NULL,
    url TEXT NOT NULL,
    before_call INTEGER NOT NULL,
    after_result INTEGER NOT NULL,
    on_failure TEXT NOT NULL,
    data_key_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;
