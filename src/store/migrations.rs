//! Whether the database has the tables this code needs.

use crate::ports::Statement;

/// How many tables [`newest_tables`] finds in a database with every migration.
pub const NEWEST_TABLES: i64 = 8;

/// Counts tables that the newest migration of each kind brought.
pub fn newest_tables() -> Statement {
    Statement::new(
        "SELECT COUNT(*) AS present FROM sqlite_master WHERE type = 'table' AND name IN ('revocations', 'node_slots', 'events', 'engine_choices', 'sweeps', 'activity_causes', 'limits', 'switches')",
        [],
    )
}
