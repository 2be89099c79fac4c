-- How a webhook is told: in our own words, or as OTLP logs.

ALTER TABLE webhook ADD COLUMN format TEXT NOT NULL DEFAULT 'json';
