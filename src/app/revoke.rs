//! Carries revocations to where something may be open: written first, then fanned out to the user's nodes, then marked
//! done. What is interrupted in between is repeated by the cron.

use ringfence_protocol::ids::{GrantId, NodeId, UserId};

use crate::error::Result;
use crate::ports::Platform;
use crate::store::identity::{self, IdRow, RevocationRow};
use crate::store::many;

/// Nodes one pass reaches, within the 50 subrequests of an invocation; the cron goes on from there.
const MAX_NODES: u32 = 30;
/// Revocations one pass carries for one user.
const MAX_GRANTS: u32 = 100;

/// Closes, on all of the user's nodes, what was opened with grants of theirs that are revoked. Returns whether every node was reached.
pub async fn fan_out(p: &impl Platform, user: UserId) -> Result<bool> {
    let revoked: Vec<RevocationRow> = many(p, identity::open_revocations_of(user, MAX_GRANTS)).await?;
    if revoked.is_empty() {
        return Ok(true);
    }
    let grants: Vec<GrantId> = revoked.iter().map(|row| row.grant_id).collect();
    // From the one that has got least far: the others reach some nodes twice, which changes nothing there.
    let after = revoked.iter().map(|row| row.reached_node_id.as_str()).min().unwrap_or_default();
    let nodes: Vec<IdRow<NodeId>> = many(p, identity::live_nodes_of(user, after, MAX_NODES)).await?;
    let mut reached = None;
    for node in &nodes {
        if p.revoke(node.id, &grants).await.is_err() {
            break;
        }
        reached = Some(node.id);
    }
    let all_answered = reached == nodes.last().map(|node| node.id);
    let done = all_answered && nodes.len() < MAX_NODES as usize;
    let now = p.now();
    let noted = |grant: &GrantId| match (done, reached) {
        (true, _) => Some(identity::finish_revocation(*grant, now)),
        (false, Some(node)) => Some(identity::reach(*grant, node)),
        (false, None) => None,
    };
    p.batch(grants.iter().filter_map(noted).collect()).await?;
    Ok(done)
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
