-- Budgets of a month: what was told of them, and machines that end because of one.

-- A threshold is told once a month. `subject_id` is a user or a tenant; empty for the installation.
CREATE TABLE budget_alerts (
  scope TEXT NOT NULL REFERENCES limit_scopes (name),
  subject_id TEXT NOT NULL,
  month_ms INTEGER NOT NULL,
  percent INTEGER NOT NULL,
  spent_micros INTEGER NOT NULL,
  budget_micros INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (scope, subject_id, month_ms, percent)
) WITHOUT ROWID;
CREATE INDEX budget_alerts_by_month ON budget_alerts (month_ms);

-- Policy: since when the node is to end because a budget is spent. Set once, by no row_version: it is a wish, the machine decides.
ALTER TABLE nodes ADD COLUMN budget_spent_at_ms INTEGER;
