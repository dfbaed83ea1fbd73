//! Overdue deadlines: a node whose alarm is gone, or whose object is stuck, is woken. What is to happen to it is its own
//! business: the drive sees that the deadline has passed. Once an hour it looks for what no row has a deadline for, too: idleness, the
//! end of a keep, an agent that is away without anybody having seen it go.

use std::time::Duration;

use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView};

use super::{Actions, Mode};
use crate::domain::lifecycle::Timing;
use crate::error::Result;
use crate::ports::Platform;
use crate::store::many;
use crate::store::sweeps::{self, OverdueRow};

/// How late an alarm may be before somebody else looks: longer than a safety alarm and a retry.
const GRACE: Duration = Duration::from_secs(120);
/// Nodes woken in one run, at most: each is a call of its object.
const MAX_NODES: u32 = 10;

/// How long an agent may tell nothing: two of the reports that it makes each hour, and some.
const SILENT: Duration = Duration::from_secs(130 * 60);

/// How closely it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At deadlines, which an index has.
    Quick,
    /// At every ready node too.
    Close,
}

pub(super) async fn sweep(p: &impl Platform, timing: &Timing, mode: Mode, look: Look) -> Result<Actions> {
    let (now, cut) = (p.now(), p.now() - GRACE);
    let grace = i64::try_from(timing.budget_grace.as_millis()).unwrap_or(i64::MAX);
    let mut rows: Vec<OverdueRow> = many(p, sweeps::overdue(cut, grace, MAX_NODES)).await?;
    if look == Look::Close {
        let unwatched = sweeps::unwatched(cut, cut - timing.off_after(), now - SILENT, MAX_NODES);
        let others: Vec<OverdueRow> = many(p, unwatched).await?;
        rows.extend(others);
        rows.dedup_by_key(|row| row.id);
        rows.truncate(MAX_NODES as usize);
    }
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
