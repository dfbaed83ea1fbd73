-- Tokens that open one view of a user's dedicated node. The secret is stored as its SHA-256 only.
CREATE TABLE gateway_tokens (
  user_id TEXT PRIMARY KEY REFERENCES users (id),
  id TEXT NOT NULL UNIQUE,
  secret_sha256 TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL
) WITHOUT ROWID;
