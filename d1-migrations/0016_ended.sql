-- What has ended stays readable for a while, and is found in lists of one's own, what ended last first. Nodes have such an index (0006).
CREATE INDEX workspaces_gone_by_user ON workspaces (user_id, state_since_ms, id) WHERE state = 'gone';
