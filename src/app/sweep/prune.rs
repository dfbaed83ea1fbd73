//! What has had its time: expired links and tokens, old idempotency keys and events, and what has been gone for thirty days.

use std::time::Duration;

use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView};
use ringfence_protocol::time::UnixMillis;

use super::{Actions, Mode};
use crate::domain::lifecycle::Timing;
use crate::error::Result;
use crate::ports::Platform;
use crate::store::one;
use crate::store::prune::{self, Cuts, OverRow};

/// How long links and tokens are kept after their end: a late bootstrap token is still known for what it was.
const EXPIRED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long idempotency keys are honoured, and an hour.
const KEYS_KEPT: Duration = Duration::from_secs(25 * 3600);
/// How long what is gone is kept beyond that: what a calendar month has cost is counted from rows.
const COUNTED: Duration = Duration::from_secs(2 * 24 * 3600);
/// How long what is gone can still be read, with the reason.
pub(in crate::app) const GONE_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long events are kept at least.
const EVENTS_KEPT: Duration = Duration::from_secs(60 * 24 * 3600);

pub(super) async fn sweep(p: &impl Platform, timing: &Timing, mode: Mode) -> Result<Actions> {
    let cuts = cuts(timing, p.now());
    let over: OverRow = one(p, prune::count(&cuts)).await?.unwrap_or_default();
    let found = actions(&over, mode);
    if mode == Mode::Act && !found.is_empty() {
        p.batch(prune::expired(&cuts)).await?;
        p.batch(prune::gone(&cuts)).await?;
    }
    Ok(found)
}

fn cuts(timing: &Timing, now: UnixMillis) -> Cuts {
    let gone = now - GONE_KEPT - COUNTED;
    // What has happened to something can be read for as long as it can: from the first day of the longest life.
    let longest_life = timing.user_lifetime.max(timing.dedicated_lifetime);
    Cuts {
        expired: now - EXPIRED_KEPT,
        keys: now - KEYS_KEPT,
        gone,
        events: (gone - longest_life).min(now - EVENTS_KEPT),
    }
}

fn actions(over: &OverRow, mode: Mode) -> Actions {
    let kinds = [
        ("sign_in_links", over.sign_in_links),
        ("sessions", over.sessions),
        ("api_tokens", over.api_tokens),
        ("bootstrap_tokens", over.bootstrap_tokens),
        ("idempotency_keys", over.idempotency_keys),
        ("revocations", over.revocations),
        ("events", over.events),
        ("workspaces", over.workspaces),
        ("nodes", over.nodes),
    ];
    let some = kinds.into_iter().filter(|(_, rows)| *rows > 0);
    some.map(|(table, rows)| SweepActionView {
        action: SweepActionKind::Prune,
        subject: table.into(),
        detail: format!("{rows} have had their time."),
        done: mode == Mode::Act,
    })
    .collect()
}
