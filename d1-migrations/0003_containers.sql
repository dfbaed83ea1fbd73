-- Containers, what is secret of them, what was measured, why things failed.

INSERT OR IGNORE INTO engines (name) VALUES ('podman'), ('docker');

-- What workspaces on a node are to be run with.
CREATE TABLE engine_choices (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO engine_choices (name) VALUES ('containers'), ('unconfined');

-- Spec. NULL for nodes from before there were containers: unconfined.
ALTER TABLE nodes ADD COLUMN engine_choice TEXT REFERENCES engine_choices (name);
ALTER TABLE nodes ADD COLUMN disk_bytes INTEGER;

-- State: what was seen when it failed.
ALTER TABLE nodes ADD COLUMN failure_detail TEXT;

-- Observation: what the agent of an epoch has measured.
ALTER TABLE nodes ADD COLUMN posture_json TEXT;
ALTER TABLE nodes ADD COLUMN posture_at_ms INTEGER;
ALTER TABLE nodes ADD COLUMN posture_epoch INTEGER;
ALTER TABLE nodes ADD COLUMN posture_holds INTEGER;

-- Spec. The container and the names of its secrets; NULL for plain processes.
ALTER TABLE workspaces ADD COLUMN container_json TEXT;
-- Its secrets, sealed under a key of the user's own, with (user_id, id) as associated data. Erased when it is over.
ALTER TABLE workspaces ADD COLUMN sealed_secrets TEXT;
ALTER TABLE workspaces ADD COLUMN seal_version INTEGER;

ALTER TABLE workspaces ADD COLUMN failure_detail TEXT;

ALTER TABLE workspaces ADD COLUMN posture_json TEXT;
ALTER TABLE workspaces ADD COLUMN posture_at_ms INTEGER;
ALTER TABLE workspaces ADD COLUMN posture_holds INTEGER;
