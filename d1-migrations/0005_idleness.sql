-- How long workspaces wait for use, what shows that they are used, what is said before they end.

INSERT OR IGNORE INTO event_kinds (name) VALUES ('ending_soon'), ('saved');

-- The first step of a node that is being destroyed while its agent is there: it saves.
INSERT OR IGNORE INTO node_steps (name) VALUES ('save');

CREATE TABLE activity_causes (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO activity_causes (name) VALUES
  ('started'), ('terminal_input'), ('terminal_output'), ('process'), ('assistant');

-- Spec.
ALTER TABLE workspaces ADD COLUMN idle_timeout_secs INTEGER NOT NULL DEFAULT 1800;
ALTER TABLE workspaces ADD COLUMN stop_keep_secs INTEGER NOT NULL DEFAULT 86400;
-- What its owner wants beyond it.
ALTER TABLE workspaces ADD COLUMN keep_alive_until_ms INTEGER;

-- State. When it was last used, or until when it is known to be used: part of what the machine decides on, so that a stop
-- for want of use and a sign of use are two changes of one row. NULL: its agent has never said.
ALTER TABLE workspaces ADD COLUMN active_until_ms INTEGER;
ALTER TABLE workspaces ADD COLUMN active_cause TEXT REFERENCES activity_causes (name);
-- How many warnings of its next end were given.
ALTER TABLE workspaces ADD COLUMN warnings INTEGER NOT NULL DEFAULT 0;
-- Since when a stop is asked for that the agent has not confirmed.
ALTER TABLE workspaces ADD COLUMN stop_asked_at_ms INTEGER;

-- Observation. When the link was last seen to end.
ALTER TABLE nodes ADD COLUMN disconnected_at_ms INTEGER;
