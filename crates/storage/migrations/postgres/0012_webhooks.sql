-- Addresses that an organization has told what happens: single events wait as deliveries, of the audit log each has a
-- place in every chain.

CREATE TABLE webhook (
    organization_id UUID NOT NULL REFERENCES organization (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    events JSONB NOT NULL,
    data_key_id UUID NOT NULL,
    failures BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    told_at BIGINT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, data_key_id) REFERENCES data_key (organization_id, id)
);

CREATE TABLE webhook_delivery (
    organization_id UUID NOT NULL,
    webhook_id UUID NOT NULL,
    id UUID NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (organization_id, webhook_id, id),
    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhook (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (organization_id, next_at);

CREATE TABLE webhook_place (
    organization_id UUID NOT NULL,
    webhook_id UUID NOT NULL,
    writer_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (organization_id, webhook_id, writer_id),
    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhook (organization_id, id) ON DELETE CASCADE
);
