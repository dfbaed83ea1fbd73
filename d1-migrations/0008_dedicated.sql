-- A user has one dedicated node at a time.

-- Its owner, for a dedicated node; NULL for others. Unique while the node may take workspaces; free again once it ends.
ALTER TABLE nodes ADD COLUMN dedicated_of TEXT;
UPDATE nodes SET dedicated_of = user_id WHERE id IN (
  SELECT MIN(id) FROM nodes
  WHERE isolation = 'dedicated' AND state IN ('requested', 'provisioning', 'booting', 'ready') GROUP BY user_id);
CREATE UNIQUE INDEX nodes_dedicated ON nodes (dedicated_of)
WHERE dedicated_of IS NOT NULL AND state IN ('requested', 'provisioning', 'booting', 'ready');
