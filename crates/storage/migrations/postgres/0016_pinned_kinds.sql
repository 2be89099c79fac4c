-- Which lists beside the tools were read at least once. The first list of a connection is trusted; connections that are
-- older than this have none of theirs on record, and so the next one counts as the first.
ALTER TABLE connection ADD COLUMN prompts_listed BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE connection ADD COLUMN resources_listed BOOLEAN NOT NULL DEFAULT false;
