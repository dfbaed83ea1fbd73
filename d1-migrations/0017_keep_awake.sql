-- What runs in a workspace may ask that it be kept awake, which is a use of its own kind.
INSERT OR IGNORE INTO activity_causes (name) VALUES ('keep_awake');
