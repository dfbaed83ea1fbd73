//! Carries revocations to where something may be open: written first, then fanned out to the user's nodes, then marked
//! done. What is interrupted in between is repeated by the cron.

use ringfence_protocol::ids::{GrantId, NodeId, UserId};

use crate::error::Result;
use crate::ports::Platform;
use crate::store::identity::{self, IdRow, RevocationRow};
use crate::store::many;

/// Nodes one pass reaches; a user's limit of nodes is far below.
const MAX_NODES: u32 = 30;
/// Revocations one pass carries for one user.
const MAX_GRANTS: u32 = 100;

/// Closes, on all of the user's nodes, what was opened with grants of theirs that are revoked. Returns whether every node answered.
pub async fn fan_out(p: &impl Platform, user: UserId) -> Result<bool> {
    let revoked: Vec<RevocationRow> = many(p, identity::open_revocations_of(user, MAX_GRANTS)).await?;
    if revoked.is_empty() {
        return Ok(true);
    }
    let grants: Vec<GrantId> = revoked.iter().map(|row| row.grant_id).collect();
    let nodes: Vec<IdRow<NodeId>> = many(p, identity::live_nodes_of(user, MAX_NODES)).await?;
    let mut all_answered = true;
    for node in nodes {
        all_answered &= p.revoke(node.id, &grants).await.is_ok();
    }
    if all_answered {
        let now = p.now();
        p.batch(grants.iter().map(|grant| identity::finish_revocation(*grant, now)).collect()).await?;
    }
    Ok(all_answered)
}

/// Repeats what was interrupted, for a bounded number of users. Called by the cron.
pub async fn repeat_open(p: &impl Platform, max_users: usize) -> Result<()> {
    let open: Vec<RevocationRow> = many(p, identity::open_revocations(MAX_GRANTS)).await?;
    let mut users: Vec<UserId> = open.iter().map(|row| row.user_id).collect();
    users.sort_unstable();
    users.dedup();
    for user in users.into_iter().take(max_users) {
        fan_out(p, user).await?;
    }
    Ok(())
}
