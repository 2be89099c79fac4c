-- Pages of the audit log that fit few entries: found in an index that has what is asked for in it, without reading the entries
-- of everything else. A call puts one entry into that of calls, at its end, and one into that of trouble where it did
-- not go well.

DROP INDEX audit_entry_of_calls;
CREATE INDEX audit_entry_of_calls ON audit_entry (organization_id, at, target, outcome, actor, call_id)
    WHERE action = 'capability.execute' AND phase = 'completed';
CREATE INDEX audit_entry_of_others ON audit_entry (organization_id, at, action, target, actor, call_id)
    WHERE action <> 'capability.execute' OR phase = 'event';
CREATE INDEX audit_entry_of_trouble ON audit_entry (organization_id, outcome, at, target, actor)
    WHERE outcome <> 'ok';
