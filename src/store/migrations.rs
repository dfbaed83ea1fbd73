//! Whether the database has what this code needs. Migrations are applied in order, so what the newest ones have brought stands
//! for all of them.

use crate::ports::Statement;

/// Counts the newest thing that a migration has made: one, or none in a database that lacks it.
pub fn newest_thing() -> Statement {
    Statement::new("SELECT COUNT(*) AS present FROM sqlite_master WHERE name = 'workspaces_gone_by_user'", [])
}

/// Counts the newest word that a migration has brought. Only for a database that has [`newest_thing`].
pub fn newest_word() -> Statement {
    Statement::new("SELECT COUNT(*) AS present FROM activity_causes WHERE name = 'keep_awake'", [])
}
