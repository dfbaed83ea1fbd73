-- Every minute asks which account's turn it is, and every look at /readyz whose was longest ago: neither reads the others.
CREATE INDEX credentials_by_turn ON provider_credentials (COALESCE(sweep_tried_at_ms, 0), id) WHERE deleted_at_ms IS NULL;
CREATE INDEX credentials_by_last_sweep ON provider_credentials (COALESCE(swept_at_ms, created_at_ms)) WHERE deleted_at_ms IS NULL;
