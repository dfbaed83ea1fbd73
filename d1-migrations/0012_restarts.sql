-- Dedicated nodes that have failed are made anew.

-- What stands in its place; empty once it was decided that nothing does. And which restart in a row the node is itself.
ALTER TABLE nodes ADD COLUMN replaced_by TEXT;
ALTER TABLE nodes ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN restart_tried_at_ms INTEGER;
-- Of those that have ended before this, nothing is made anew.
UPDATE nodes SET replaced_by = '' WHERE dedicated_of IS NOT NULL AND state IN ('destroying', 'gone');
CREATE INDEX nodes_to_restart ON nodes (restart_tried_at_ms, state_since_ms)
WHERE dedicated_of IS NOT NULL AND replaced_by IS NULL AND state IN ('destroying', 'gone');
