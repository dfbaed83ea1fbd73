//! What a batch takes for granted: that the rows it was made from are those that were read (I9).

use ringfence_protocol::ids::{NodeId, WorkspaceId};
use serde::Serialize;

use crate::ports::Statement;

/// Lets the batch fail unless every one of these rows has the version that was read.
pub fn require(nodes: &[(NodeId, i64)], workspaces: &[(WorkspaceId, i64)]) -> Statement {
    Statement::new(
        "INSERT INTO preconditions (broken)
         SELECT 1 FROM json_each(?1) r WHERE NOT EXISTS (
           SELECT 1 FROM nodes WHERE id = r.value ->> 0 AND row_version = r.value ->> 1)
         UNION ALL
         SELECT 1 FROM json_each(?2) r WHERE NOT EXISTS (
           SELECT 1 FROM workspaces WHERE id = r.value ->> 0 AND row_version = r.value ->> 1)",
        [json(nodes).into(), json(workspaces).into()],
    )
}

fn json(read: &[(impl Serialize, i64)]) -> String {
    // Pairs of texts and numbers always serialise.
    serde_json::to_string(read).unwrap_or_default()
}
