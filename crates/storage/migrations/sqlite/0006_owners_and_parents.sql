-- What a member owns personally has names of its own: neither its slug nor its external key is taken, or seen, by what
-- the organization or another member owns. A token knows which token it was made with, and ends with it.

CREATE TABLE toolkit_of_owner (
    organization_id BLOB NOT NULL REFERENCES organization (id),
    id BLOB NOT NULL,
    owner_member_id BLOB,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    surface TEXT NOT NULL,
    patterns TEXT NOT NULL,
    members TEXT NOT NULL,
    teams TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, owner_member_id) REFERENCES member (organization_id, id)
) STRICT;
INSERT INTO toolkit_of_owner (organization_id, id, owner_member_id, slug, name, surface, patterns, members, teams, created_at, updated_at, revision)
    SELECT organization_id, id, owner_member_id, slug, name, surface, patterns, members, teams, created_at, updated_at, revision
    FROM toolkit;
DROP TABLE toolkit;
ALTER TABLE toolkit_of_owner RENAME TO toolkit;
CREATE UNIQUE INDEX toolkit_slug ON toolkit (organization_id, slug) WHERE owner_member_id IS NULL;
CREATE UNIQUE INDEX toolkit_personal_slug ON toolkit (organization_id, owner_member_id, slug)
    WHERE owner_member_id IS NOT NULL;

DROP INDEX connection_external_key;
CREATE UNIQUE INDEX connection_external_key ON connection (organization_id, external_key)
    WHERE external_key IS NOT NULL AND owner_member_id IS NULL;
CREATE UNIQUE INDEX connection_personal_external_key ON connection (organization_id, owner_member_id, external_key)
    WHERE external_key IS NOT NULL AND owner_member_id IS NOT NULL;

ALTER TABLE token ADD COLUMN parent_token_id BLOB;
CREATE INDEX token_by_parent ON token (organization_id, parent_token_id) WHERE parent_token_id IS NOT NULL;
