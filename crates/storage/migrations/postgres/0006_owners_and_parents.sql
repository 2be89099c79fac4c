-- What a member owns personally has names of its own: neither its slug nor its external key is taken, or seen, by what
-- the organization or another member owns. A token knows which token it was made with, and ends with it.

ALTER TABLE toolkit DROP CONSTRAINT toolkit_organization_id_slug_key;
CREATE UNIQUE INDEX toolkit_slug ON toolkit (organization_id, slug) WHERE owner_member_id IS NULL;
CREATE UNIQUE INDEX toolkit_personal_slug ON toolkit (organization_id, owner_member_id, slug)
    WHERE owner_member_id IS NOT NULL;

DROP INDEX connection_external_key;
CREATE UNIQUE INDEX connection_external_key ON connection (organization_id, external_key)
    WHERE external_key IS NOT NULL AND owner_member_id IS NULL;
CREATE UNIQUE INDEX connection_personal_external_key ON connection (organization_id, owner_member_id, external_key)
    WHERE external_key IS NOT NULL AND owner_member_id IS NOT NULL;

ALTER TABLE token ADD COLUMN parent_token_id UUID;
CREATE INDEX token_by_parent ON token (organization_id, parent_token_id) WHERE parent_token_id IS NOT NULL;
