//! Overdue deadlines: a node whose alarm is gone, or whose object is stuck, is woken. What is to happen to it is its own
//! business: the drive sees that the deadline has passed.

use std::time::Duration;

use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView};

use super::{Actions, Mode};
use crate::error::Result;
use crate::ports::Platform;
use crate::store::many;
use crate::store::sweeps::{self, OverdueRow};

/// How late an alarm may be before somebody else looks: longer than a safety alarm and a retry.
const GRACE: Duration = Duration::from_secs(120);
/// Nodes woken in one run, at most: each is a call of its object.
const MAX_NODES: u32 = 10;

pub(super) async fn sweep(p: &impl Platform, mode: Mode) -> Result<Actions> {
    let now = p.now();
    let rows: Vec<OverdueRow> = many(p, sweeps::overdue(now - GRACE, MAX_NODES)).await?;
    if mode == Mode::Act && !rows.is_empty() {
        let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        p.batch(vec![sweeps::mark_woken(&super::json_list(&ids), now)]).await?;
    }
    let mut actions = Vec::new();
    for row in rows {
        // One that cannot be reached is tried again when the others have had their turn.
        let done = mode == Mode::Act && p.wake(row.id, now).await.is_ok();
        actions.push(SweepActionView {
            action: SweepActionKind::WakeNode,
            subject: row.id.to_string(),
            detail: format!("It is {} and something of it is overdue.", row.state),
            done,
        });
    }
    Ok(actions)
}
