-- When a member's tokens were last used is shown in the list of members, for each of them.
CREATE INDEX token_by_member ON token (organization_id, member_id, last_used_at) WHERE member_id IS NOT NULL;
