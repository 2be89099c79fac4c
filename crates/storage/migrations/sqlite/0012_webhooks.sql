-- Addresses that an organization has told what happens: single events wait as deliveries, of the audit log each has a
-- place in every chain.

CREATE TABLE webhook (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    events TEXT NOT NULL,
    data_key_id BLOB NOT NULL,
    failures INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    told_at INTEGER,
    last_error TEXT,
    created_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
) STRICT;

CREATE TABLE webhook_delivery (
    organization_id BLOB NOT NULL,
    webhook_id BLOB NOT NULL,
    id BLOB NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (organization_id, webhook_id, id),
    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhook (organization_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX webhook_delivery_due ON webhook_delivery (organization_id, next_at);

CREATE TABLE webhook_place (
    organization_id BLOB NOT NULL,
    webhook_id BLOB NOT NULL,
    writer_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (organization_id, webhook_id, writer_id),
    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhook (organization_id, id) ON DELETE CASCADE
) STRICT;
