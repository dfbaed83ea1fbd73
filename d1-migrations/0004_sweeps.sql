-- Sweeps: when each ran, which account and which node was looked at last, and machines that no row names.

-- One row for each sweep: what was recorded of its last runs.
CREATE TABLE sweeps (
  name TEXT PRIMARY KEY,
  succeeded_at_ms INTEGER,
  failed_at_ms INTEGER,
  -- Why the last run failed; NULL when it did not.
  problem TEXT
) WITHOUT ROWID;

-- When the account's machines were last to be listed, and when that last succeeded. Not changed by row_version: nobody decides by them.
ALTER TABLE provider_credentials ADD COLUMN sweep_tried_at_ms INTEGER;
ALTER TABLE provider_credentials ADD COLUMN swept_at_ms INTEGER;

-- When a sweep last woke the node's object: who was woken longest ago is next.
ALTER TABLE nodes ADD COLUMN woken_at_ms INTEGER;

-- Machines that carry our marks and that no row names, since they were first seen so.
CREATE TABLE stray_machines (
  credential_id TEXT NOT NULL REFERENCES provider_credentials (id),
  instance_id TEXT NOT NULL,
  first_seen_at_ms INTEGER NOT NULL,
  PRIMARY KEY (credential_id, instance_id)
) WITHOUT ROWID;

CREATE INDEX workspaces_by_deadline ON workspaces (deadline_at_ms) WHERE state <> 'gone' AND deadline_at_ms IS NOT NULL;
CREATE INDEX workspaces_gone ON workspaces (state_since_ms) WHERE state = 'gone';
CREATE INDEX nodes_gone ON nodes (state_since_ms) WHERE state = 'gone';
