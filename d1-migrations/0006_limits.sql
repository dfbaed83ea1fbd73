-- Limits of users, tenants and the installation, and what counting against them needs.

INSERT OR IGNORE INTO roles (name) VALUES ('tenant_admin');

CREATE TABLE limit_scopes (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO limit_scopes (name) VALUES ('user'), ('tenant'), ('installation');

CREATE TABLE limit_measures (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO limit_measures (name) VALUES
  ('nodes'), ('workspaces'), ('ephemeral_workspaces'), ('cost_per_hour'), ('cost_per_month');

-- What an admin has set. `subject_id` is a user or a tenant; empty for all users, all tenants, and for the installation.
-- Amounts of money are millionths.
CREATE TABLE limits (
  scope TEXT NOT NULL REFERENCES limit_scopes (name),
  subject_id TEXT NOT NULL,
  measure TEXT NOT NULL REFERENCES limit_measures (name),
  amount INTEGER NOT NULL,
  set_at_ms INTEGER NOT NULL,
  PRIMARY KEY (scope, subject_id, measure)
) WITHOUT ROWID;

-- Usage is counted from rows: there are no counters to drift.
CREATE INDEX nodes_by_tenant ON nodes (tenant_id, created_at_ms, id) WHERE state <> 'gone';
CREATE INDEX nodes_ephemeral ON nodes (tenant_id) WHERE state <> 'gone' AND isolation = 'ephemeral';
CREATE INDEX nodes_gone_by_user ON nodes (user_id, state_since_ms) WHERE state = 'gone';
CREATE INDEX nodes_gone_by_tenant ON nodes (tenant_id, state_since_ms) WHERE state = 'gone';
CREATE INDEX users_by_tenant ON users (tenant_id, id);
