//! Dedicated nodes that have failed: another one is made like it, a bounded number of times and with growing pauses, and its owner
//! is told. What was on the old one is lost with it; its workspaces say so.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::Isolation;
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use super::{Actions, Mode, json_list};
use crate::app::admission::{self, Subject};
use crate::app::intent::founded;
use crate::app::provisioning;
use crate::config::Settings;
use crate::domain::lifecycle::{FailureCode, Moment};
use crate::domain::node::{Evidence, Node};
use crate::domain::quota::Claim;
use crate::domain::restart::{self, MAX_RESTARTS, Restart};
use crate::error::Result;
use crate::ports::{DbError, Platform};
use crate::store::restarts::{self, EndedRow};
use crate::store::{events, many, nodes};

/// Nodes that are looked at in one run, at most.
const MAX_NODES: u32 = 3;

pub(super) async fn sweep(p: &impl Platform, settings: &Settings, mode: Mode) -> Result<Actions> {
    let rows: Vec<EndedRow> = many(p, restarts::undecided(MAX_NODES)).await?;
    // While no machines are made, nothing is decided either: they wait.
    if rows.is_empty() || provisioning::is_paused(p, settings).await? {
        return Ok(Vec::new());
    }
    if mode == Mode::Act {
        let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        p.batch(vec![restarts::mark_tried(&json_list(&ids), p.now())]).await?;
    }
    let mut actions = Vec::new();
    for row in &rows {
        let code = row.failure.as_deref().and_then(FailureCode::parse).unwrap_or(FailureCode::Invalid);
        let (created, ended) = (UnixMillis::new(row.created_at_ms), UnixMillis::new(row.state_since_ms));
        let told = match restart::after(code, row.restarts, ended.since(created), ended) {
            Restart::At { due, .. } if due > p.now() => continue,
            Restart::At { .. } if mode == Mode::DryRun => "It would be made anew.".to_owned(),
            Restart::At { count, .. } => match make_anew(p, settings, row, count, ended + restart::PATIENCE).await? {
                Some(told) => told,
                None => continue,
            },
            Restart::GivenUp => {
                let why =
                    format!("Your dedicated machine has failed {MAX_RESTARTS} times in a row: no new one is made.");
                decide_none(p, mode, row.id, Some(&why)).await?;
                why
            }
            Restart::Never => {
                decide_none(p, mode, row.id, None).await?;
                continue;
            }
        };
        actions.push(SweepActionView {
            action: SweepActionKind::MakeNode,
            subject: row.id.to_string(),
            detail: format!("{} {told}", code.sentence()),
            done: mode == Mode::Act,
        });
    }
    Ok(actions)
}

/// Asks for another one like it. Says what became of that; nothing, where no machines are made by now, or a limit is reached and
/// it has not waited until `latest`: it waits.
async fn make_anew(
    p: &impl Platform,
    settings: &Settings,
    ended: &EndedRow,
    count: u32,
    latest: UnixMillis,
) -> Result<Option<String>> {
    let id: NodeId = p.id();
    let spec = ended.spec(id);
    let subject = Subject { user: spec.user_id, tenant: spec.tenant_id };
    let offers = ended.offers();
    let price_micros_per_hour = offers.dearest().unwrap_or(spec.price_micros_per_hour);
    let need = Claim::Node { isolation: Isolation::Dedicated, price_micros_per_hour };
    if let Some(reached) = admission::refusal_of_node(p, settings, subject, need).await? {
        if p.now() < latest {
            return Ok(None);
        }
        let why = format!("Your dedicated machine has failed and no new one is made. {}", reached.detail);
        decide_none(p, Mode::Act, ended.id, Some(&why)).await?;
        return Ok(Some(why));
    }
    let place = (spec.provider, spec.region.clone());
    let told = format!(
        "Your dedicated machine has failed; a new one, {id}, is being made ({count} of {MAX_RESTARTS}). What was on the old one is lost."
    );
    let made = founded(p, id, (place.0, &place.1), async {
        let now = p.now();
        let moment = Moment { now, jitter: 0, timing: &settings.timing };
        let mut node = Node::requested(Isolation::Dedicated, Evidence::to_begin_with(spec.engine_choice), &moment);
        node.offers = offers;
        let mut batch = vec![
            restarts::require_undecided(ended.id),
            nodes::insert(&spec, &node, now),
            admission::require_node(settings, subject, id, need, now),
        ];
        batch.extend(restarts::replace(ended.id, id, count));
        batch.push(events::record(id, None, &node.as_event(), now));
        batch.push(events::record(ended.id, None, &EventKind::Notice { detail: told.clone() }, now));
        match p.batch(batch).await {
            Ok(_) => Ok(true),
            // A limit by now, a credential that is gone, another dedicated node.
            Err(DbError::Constraint(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    })
    .await?;
    if made {
        return Ok(Some(told));
    }
    if provisioning::is_paused(p, settings).await? {
        return Ok(None);
    }
    let why = "Your dedicated machine has failed and no new one can be made: a limit is reached, its cloud was disconnected, or you have another one by now.";
    decide_none(p, Mode::Act, ended.id, Some(why)).await?;
    Ok(Some(why.into()))
}

async fn decide_none(p: &impl Platform, mode: Mode, id: NodeId, told: Option<&str>) -> Result<()> {
    if mode == Mode::DryRun {
        return Ok(());
    }
    let mut batch = vec![restarts::decide_none(id)];
    batch.extend(told.map(|told| events::record(id, None, &EventKind::Notice { detail: told.to_owned() }, p.now())));
    p.batch(batch).await?;
    Ok(())
}
