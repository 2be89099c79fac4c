-- Connections that only admins use until they are published: open (never held back), staged, or published (was staged,
-- and can be taken back).

ALTER TABLE connection ADD COLUMN rollout TEXT NOT NULL DEFAULT 'open';
