-- The place of a definition in its upstream's list, from 1: a direct surface lists in the same order. 0: not known yet, the
-- next listing says it.
ALTER TABLE capability ADD COLUMN ordinal BIGINT NOT NULL DEFAULT 0;
