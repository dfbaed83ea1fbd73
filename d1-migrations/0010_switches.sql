-- What an admin has switched off for everybody: a row while it is off.
CREATE TABLE switches (
  name TEXT PRIMARY KEY,
  engaged_at_ms INTEGER NOT NULL,
  -- Who, and why, for people.
  actor TEXT NOT NULL,
  reason TEXT NOT NULL
) WITHOUT ROWID;

-- State: whether the provider's last answer was that it refuses the key.
ALTER TABLE nodes ADD COLUMN key_refused INTEGER NOT NULL DEFAULT 0;
