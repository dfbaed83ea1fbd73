-- Machines that users want kept warm: so many empty ones are always there for their next workspace.

-- One row for each user who has asked for some, of a credential of their own (I1). It goes when that is deleted.
CREATE TABLE warm_pools (
  user_id TEXT PRIMARY KEY REFERENCES users (id),
  row_version INTEGER NOT NULL,
  minimum INTEGER NOT NULL,
  set_at_ms INTEGER NOT NULL,

  -- Spec: what each machine is.
  credential_id TEXT NOT NULL,
  region TEXT NOT NULL,
  size TEXT NOT NULL,
  cpus INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  disk_bytes INTEGER NOT NULL,
  price_micros_per_hour INTEGER NOT NULL,
  currency TEXT NOT NULL,
  -- What workspaces on it are run with: the installation's choice when the last one was made.
  engine_choice TEXT NOT NULL REFERENCES engine_choices (name),

  -- The node that was made last, how often in a row one has failed, and when another may be tried: NULL once it is given up.
  -- A node that is pruned leaves its id here.
  last_node_id TEXT,
  failures INTEGER NOT NULL DEFAULT 0,
  next_try_at_ms INTEGER,
  -- When it was last looked after: who waits longest is next. No decision reads it, and it is not changed by row_version.
  tried_at_ms INTEGER NOT NULL DEFAULT 0,
  -- Why there are fewer than asked for, for people.
  problem TEXT,

  FOREIGN KEY (credential_id, user_id) REFERENCES provider_credentials (id, user_id)
) WITHOUT ROWID;
