-- Which end the warnings were of: another end is warned of anew.
CREATE TABLE ending_causes (name TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO ending_causes (name) VALUES ('idle'), ('keep_over'), ('lifetime_over'), ('agent_away');
ALTER TABLE workspaces ADD COLUMN warned_of TEXT REFERENCES ending_causes (name);
