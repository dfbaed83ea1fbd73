-- Who may act: tenants, users, sign-in links, sessions, API tokens; and what was done: audit, idempotency keys.
-- Enums are lookup tables: SQLite cannot widen a CHECK, and migrations only ever add.

CREATE TABLE roles (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO roles (name) VALUES ('member'), ('admin');

CREATE TABLE user_states (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO user_states (name) VALUES ('active'), ('suspended');

CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL
);

CREATE TABLE users (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  name TEXT NOT NULL UNIQUE,
  role TEXT NOT NULL REFERENCES roles (name),
  state TEXT NOT NULL REFERENCES user_states (name),
  created_at_ms INTEGER NOT NULL,
  row_version INTEGER NOT NULL
);

-- One-time sign-in links. The secret is stored as its SHA-256 only.
CREATE TABLE sign_in_links (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  secret_sha256 TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  consumed_at_ms INTEGER,
  -- The session the link was traded for: what follows in the batch selects by it.
  consumed_by TEXT
);
CREATE INDEX sign_in_links_by_expiry ON sign_in_links (expires_at_ms);

CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  user_agent TEXT NOT NULL,
  source_address TEXT NOT NULL,
  revoked_at_ms INTEGER
);
CREATE INDEX sessions_by_user ON sessions (user_id, expires_at_ms);

-- API tokens (`rf_…`). The secret is stored as its SHA-256 only.
CREATE TABLE api_tokens (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  name TEXT NOT NULL,
  secret_sha256 TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  revoked_at_ms INTEGER
);
CREATE INDEX api_tokens_by_user ON api_tokens (user_id, expires_at_ms);

-- A revocation is written first, then carried to the objects of the user's nodes, then marked done. The cron repeats what is unmarked.
CREATE TABLE revocations (
  grant_id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  created_at_ms INTEGER NOT NULL,
  -- How far it was carried: nodes are reached in the order of their ids, some at a time.
  reached_node_id TEXT NOT NULL DEFAULT '',
  -- When it was last tried: who waits longest is next, so that one who cannot be reached keeps nobody waiting.
  tried_at_ms INTEGER NOT NULL DEFAULT 0,
  fanned_out_at_ms INTEGER
);
CREATE INDEX revocations_open ON revocations (tried_at_ms, created_at_ms) WHERE fanned_out_at_ms IS NULL;

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  source_address TEXT NOT NULL,
  detail TEXT NOT NULL
);

-- Answers to creating requests, kept 24 h, so that a repeat gets the first one's.
CREATE TABLE idempotency_keys (
  user_id TEXT NOT NULL REFERENCES users (id),
  key TEXT NOT NULL,
  operation TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  PRIMARY KEY (user_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_ms);
