-- Credentials, nodes, workspaces, the places they hold, what happened to them.
-- Enums are lookup tables: SQLite cannot widen a CHECK, and migrations only ever add.

CREATE TABLE providers (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO providers (name) VALUES ('hetzner');

CREATE TABLE engines (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO engines (name) VALUES ('unconfined');

CREATE TABLE isolations (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO isolations (name) VALUES ('user'), ('ephemeral'), ('dedicated');

CREATE TABLE node_policies (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO node_policies (name) VALUES ('schedulable'), ('cordoned'), ('draining');

CREATE TABLE node_states (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO node_states (name) VALUES
  ('requested'), ('provisioning'), ('booting'), ('ready'), ('destroying'), ('gone'), ('failed'), ('quarantined');

-- What a provisioning or destroying node asks its provider next.
CREATE TABLE node_steps (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO node_steps (name) VALUES ('create'), ('find'), ('delete'), ('confirm');

CREATE TABLE workspace_states (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO workspace_states (name) VALUES
  ('requested'), ('placing'), ('creating'), ('running'), ('stopped'), ('deleting'), ('gone'), ('failed');

CREATE TABLE event_kinds (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO event_kinds (name) VALUES ('node_state'), ('workspace_state'), ('boot_step'), ('notice');

-- A user's keys for clouds, sealed under a key of the user's own, with (id, user_id) as associated data.
CREATE TABLE provider_credentials (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  provider TEXT NOT NULL REFERENCES providers (name),
  name TEXT NOT NULL,
  sealed_secret TEXT NOT NULL,
  seal_version INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  validated_at_ms INTEGER,
  deleted_at_ms INTEGER,
  row_version INTEGER NOT NULL,
  UNIQUE (id, user_id)
);
CREATE INDEX provider_credentials_by_user ON provider_credentials (user_id, created_at_ms) WHERE deleted_at_ms IS NULL;

-- What the provider offers the account, as last read.
CREATE TABLE provider_catalogs (
  credential_id TEXT PRIMARY KEY REFERENCES provider_credentials (id),
  fetched_at_ms INTEGER NOT NULL,
  catalog_json TEXT NOT NULL
);

CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  row_version INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,

  -- Spec: what was asked. Never changes.
  installation TEXT NOT NULL,
  provider TEXT NOT NULL REFERENCES providers (name),
  credential_id TEXT NOT NULL,
  isolation TEXT NOT NULL REFERENCES isolations (name),
  region TEXT NOT NULL,
  size TEXT NOT NULL,
  cpus INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  image TEXT NOT NULL,
  price_micros_per_hour INTEGER NOT NULL,
  currency TEXT NOT NULL,
  slots INTEGER NOT NULL,
  hard_deadline_at_ms INTEGER NOT NULL,

  -- Policy: what its owner wants.
  policy TEXT NOT NULL REFERENCES node_policies (name),

  -- State: what we recorded. Changed only through the machine, by row_version.
  state TEXT NOT NULL REFERENCES node_states (name),
  step TEXT REFERENCES node_steps (name),
  state_since_ms INTEGER NOT NULL,
  deadline_at_ms INTEGER,
  failure TEXT,
  overdue INTEGER NOT NULL DEFAULT 0,
  warm_since_ms INTEGER,
  provider_instance_id TEXT,
  ipv4 TEXT,
  ipv6 TEXT,
  create_attempts INTEGER NOT NULL DEFAULT 0,
  first_create_attempt_at_ms INTEGER,
  last_create_attempt_at_ms INTEGER,
  next_attempt_at_ms INTEGER,
  attempt_failures INTEGER NOT NULL DEFAULT 0,
  agent_epoch INTEGER NOT NULL,
  agent_ready INTEGER NOT NULL DEFAULT 0,

  -- Observation: what the agent said and when. Changed by agent_epoch, never by row_version.
  engine TEXT REFERENCES engines (name),
  agent_version TEXT,
  connected_at_ms INTEGER,
  last_hello_at_ms INTEGER,
  cpu_percent REAL,
  memory_percent REAL,
  facts_json TEXT,
  facts_at_ms INTEGER,

  UNIQUE (id, user_id),
  FOREIGN KEY (credential_id, user_id) REFERENCES provider_credentials (id, user_id)
);
CREATE INDEX nodes_by_user ON nodes (user_id, created_at_ms, id) WHERE state <> 'gone';
CREATE INDEX nodes_ready_by_user ON nodes (user_id, credential_id) WHERE state = 'ready';
CREATE INDEX nodes_by_credential ON nodes (credential_id) WHERE state <> 'gone';
CREATE INDEX nodes_by_deadline ON nodes (deadline_at_ms) WHERE state <> 'gone';

-- A node is one user's for as long as it exists (I1).
CREATE TRIGGER nodes_keep_their_owner BEFORE UPDATE OF user_id, tenant_id ON nodes
WHEN NEW.user_id <> OLD.user_id OR NEW.tenant_id <> OLD.tenant_id
BEGIN
  SELECT RAISE(ABORT, 'a node keeps its owner');
END;

CREATE TABLE workspaces (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  node_id TEXT NOT NULL,
  row_version INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  name TEXT NOT NULL,
  placement_explanation TEXT NOT NULL,
  running INTEGER NOT NULL,
  spec_generation INTEGER NOT NULL,
  state TEXT NOT NULL REFERENCES workspace_states (name),
  state_since_ms INTEGER NOT NULL,
  deadline_at_ms INTEGER,
  failure TEXT,
  UNIQUE (id, user_id),
  FOREIGN KEY (node_id, user_id) REFERENCES nodes (id, user_id)
);
CREATE INDEX workspaces_by_user ON workspaces (user_id, created_at_ms, id) WHERE state <> 'gone';
CREATE INDEX workspaces_by_node ON workspaces (node_id) WHERE state <> 'gone';

CREATE TRIGGER workspaces_keep_their_owner BEFORE UPDATE OF user_id, node_id ON workspaces
WHEN NEW.user_id <> OLD.user_id OR NEW.node_id <> OLD.node_id
BEGIN
  SELECT RAISE(ABORT, 'a workspace keeps its owner and its node');
END;

-- The places of a node that are taken: one row each, deleted when the place is given back. Its keys say that a place has
-- one workspace, a workspace one place, and that node, workspace and place are one user's (I1, I3).
CREATE TABLE node_slots (
  node_id TEXT NOT NULL,
  slot INTEGER NOT NULL,
  user_id TEXT NOT NULL,
  workspace_id TEXT NOT NULL UNIQUE,
  claimed_at_ms INTEGER NOT NULL,
  PRIMARY KEY (node_id, slot),
  FOREIGN KEY (node_id, user_id) REFERENCES nodes (id, user_id),
  FOREIGN KEY (workspace_id, user_id) REFERENCES workspaces (id, user_id) DEFERRABLE INITIALLY DEFERRED
) WITHOUT ROWID;

-- One-use tokens in user-data. The key that traded one is kept, so that its repeat gets the same answer.
CREATE TABLE bootstrap_tokens (
  jti TEXT PRIMARY KEY,
  node_id TEXT NOT NULL REFERENCES nodes (id),
  expires_at_ms INTEGER NOT NULL,
  consumed_at_ms INTEGER,
  -- When it was first presented after its end: audited once.
  presented_late_at_ms INTEGER,
  public_key_jkt TEXT,
  public_key_x TEXT
);
CREATE INDEX bootstrap_tokens_by_expiry ON bootstrap_tokens (expires_at_ms);

CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id TEXT NOT NULL,
  node_id TEXT NOT NULL,
  workspace_id TEXT,
  at_ms INTEGER NOT NULL,
  kind TEXT NOT NULL REFERENCES event_kinds (name),
  event_json TEXT NOT NULL,
  FOREIGN KEY (node_id, user_id) REFERENCES nodes (id, user_id)
);
CREATE INDEX events_by_user ON events (user_id, id);
CREATE INDEX events_by_node ON events (node_id, id);

-- What a batch takes for granted: a statement that inserts here when it is not so makes the whole batch fail, so that a
-- lost compare-and-set or a denied claim commits nothing. No row ever exists.
CREATE TABLE preconditions (
  broken INTEGER NOT NULL,
  CONSTRAINT precondition_failed CHECK (broken = 0)
);
