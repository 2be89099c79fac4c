-- Which lists beside the tools were read at least once. The first list of a connection is trusted; connections that are
-- older than this have none of theirs on record, and so the next one counts as the first.
ALTER TABLE connection ADD COLUMN prompts_listed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connection ADD COLUMN resources_listed INTEGER NOT NULL DEFAULT 0;
