-- Where a task's state is: at an upstream of MCP 2026-07-28 (`modern`) or 2025-11-25 (`legacy`), or here (`here`), where a call that
-- was to be a task was over at once.
ALTER TABLE mcp_task ADD COLUMN place TEXT NOT NULL DEFAULT 'modern';
