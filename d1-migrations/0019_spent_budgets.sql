-- Machines that were told that a budget is spent: every minute asks which of them have not heeded it yet.
CREATE INDEX nodes_told_of_budget ON nodes (budget_spent_at_ms) WHERE budget_spent_at_ms IS NOT NULL AND state <> 'gone';
