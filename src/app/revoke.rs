//! Carries revocations to where something may be open: written first, then fanned out to the user's nodes, then marked
//! done. What is interrupted in between is repeated by the cron.

use ringfence_protocol::ids::{GrantId, NodeId, UserId};

use crate::error::Result;
use crate::ports::Platform;
use crate::store::identity::{self, IdRow, RevocationRow};
use crate::store::{all, many, one};

/// Nodes one pass of a request reaches, within the 50 subrequests of an invocation; the cron goes on from there.
const MAX_NODES: u32 = 30;
/// The same for a pass of the cron, which other sweeps share.
const MAX_NODES_OF_CRON: u32 = 15;
/// Revocations one pass carries, within the 50 statements of an invocation.
const MAX_GRANTS: u32 = 15;

/// Closes, on the user's nodes, what was opened with grants of theirs that are revoked. Returns whether every node was reached.
pub async fn fan_out(p: &impl Platform, user: UserId) -> Result<bool> {
    pass(p, user, MAX_NODES).await
}

async fn pass(p: &impl Platform, user: UserId, max_nodes: u32) -> Result<bool> {
    let open = vec![identity::open_revocations_of(user, MAX_GRANTS), identity::mark_tried(user, p.now())];
    let revoked: Vec<RevocationRow> = all(p.batch(open).await?.into_iter().next());
    if revoked.is_empty() {
        return Ok(true);
    }
    let grants: Vec<GrantId> = revoked.iter().map(|row| row.grant_id).collect();
    // From the one that has got least far: the others reach some nodes twice, which changes nothing there.
    let after = revoked.iter().map(|row| row.reached_node_id.as_str()).min().unwrap_or_default();
    let nodes: Vec<IdRow<NodeId>> = many(p, identity::live_nodes_of(user, after, max_nodes)).await?;
    let (mut reached, mut all_answered) = (None, true);
    for node in &nodes {
        // One that does not answer keeps the others from nothing; the next pass begins with it.
        all_answered &= p.revoke(node.id, &grants).await.is_ok();
        if all_answered {
            reached = Some(node.id);
        }
    }
    let finished = all_answered && nodes.len() < max_nodes as usize;
    let now = p.now();
    let noted = |grant: &GrantId| match (finished, reached) {
        (true, _) => Some(identity::finish_revocation(*grant, now)),
        (false, Some(node)) => Some(identity::reach(*grant, node)),
        (false, None) => None,
    };
    p.batch(grants.iter().filter_map(noted).collect()).await?;
    Ok(finished && grants.len() < MAX_GRANTS as usize)
}

/// Goes on with one user's revocations, the ones that were tried longest ago. Called by the cron.
pub async fn repeat_open(p: &impl Platform) -> Result<()> {
    let next: Option<RevocationRow> = one(p, identity::next_open_revocation()).await?;
    match next {
        Some(row) => pass(p, row.user_id, MAX_NODES_OF_CRON).await.map(|_| ()),
        None => Ok(()),
    }
}
