-- Sign-in with a company's identity provider: which write of its secret is stored, what a sign-in that is under way is
-- for, and under which settings it began.

ALTER TABLE identity_provider ADD COLUMN secret_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sign_in ADD COLUMN purpose TEXT NOT NULL DEFAULT 'sign_in';
ALTER TABLE sign_in ADD COLUMN session_id UUID;
ALTER TABLE sign_in ADD COLUMN provider_revision BIGINT NOT NULL DEFAULT 0;
