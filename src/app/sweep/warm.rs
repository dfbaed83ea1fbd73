//! Machines that users want kept warm: where there are too few, another one is made, one for each user in a run, within every
//! limit; after one that has failed with growing pauses, and not for ever.

use std::time::Duration;

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::{EngineChoice, Isolation};
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use super::{Actions, Mode, json_list};
use crate::app::admission::{self, Subject};
use crate::app::intent::founded;
use crate::app::provisioning;
use crate::app::turn::is_precondition;
use crate::config::Config;
use crate::domain::lifecycle::Moment;
use crate::domain::node::{Evidence, Node};
use crate::domain::quota::Claim;
use crate::domain::restart::MAX_RESTARTS;
use crate::domain::warm::{self as pool, Next};
use crate::error::Result;
use crate::ports::{DbError, Platform};
use crate::provider::Description;
use crate::store::nodes::NodeSpec;
use crate::store::warm::{self, ShortPoolRow};
use crate::store::{events, many, nodes};

/// Users that are looked after in one run, at most: each takes four calls, and an invocation may make 50.
const MAX_POOLS: u32 = 2;
/// How long one waits who is at a limit: nobody's use is counted every minute for it.
const LIMIT_PAUSE: Duration = Duration::from_secs(600);

pub(super) async fn sweep(p: &impl Platform, config: &Config, mode: Mode) -> Result<Actions> {
    // Where no agent is published, a machine of containers would never get ready.
    if config.engine == EngineChoice::Containers && config.published_agent().is_err() {
        return Ok(Vec::new());
    }
    let rows: Vec<ShortPoolRow> = many(p, warm::short(config.engine, p.now(), MAX_POOLS)).await?;
    // While no machines are made, nothing is decided either: they wait.
    if rows.is_empty() || provisioning::is_paused(p, &config.settings).await? {
        return Ok(Vec::new());
    }
    if mode == Mode::Act {
        let users: Vec<String> = rows.iter().map(|row| row.user_id.to_string()).collect();
        p.batch(vec![warm::mark_tried(&json_list(&users), p.now())]).await?;
    }
    let mut actions = Vec::new();
    for row in &rows {
        let told = match pool::next(row.last(), row.failures, p.now()) {
            Next::Patience => continue,
            Next::Make { .. } if mode == Mode::DryRun => Some("One would be made.".to_owned()),
            Next::Make { failures } => make(p, config, row, failures).await?,
            Next::Later { due, count, code } => {
                let why = format!(
                    "The last one made for it failed. {} It is tried again ({count} of {MAX_RESTARTS}).",
                    code.sentence()
                );
                Some(put_off(p, mode, row, Some(due), why).await?)
            }
            Next::GivenUp { code } => {
                let why = format!(
                    "{MAX_RESTARTS} in a row have failed, and no more are made until you ask for them again. The last one: {}",
                    code.sentence()
                );
                Some(put_off(p, mode, row, None, why).await?)
            }
        };
        actions.extend(told.map(|told| SweepActionView {
            action: SweepActionKind::MakeNode,
            subject: row.spec.credential_id.to_string(),
            detail: format!(
                "{} machines are to be kept warm for {}, and there are fewer. {told}",
                row.spec.minimum, row.user_id
            ),
            done: mode == Mode::Act,
        }));
    }
    Ok(actions)
}

/// Asks for one. Says what became of that; nothing, where by now another sweep has made it or its user wants something else.
async fn make(p: &impl Platform, config: &Config, row: &ShortPoolRow, failures: u32) -> Result<Option<String>> {
    let settings = &config.settings;
    let id: NodeId = p.id();
    let subject = Subject { user: row.user_id, tenant: row.tenant_id };
    let price_micros_per_hour = row.spec.price_micros_per_hour;
    let need = Claim::Node { isolation: Isolation::User, price_micros_per_hour };
    if let Some(reached) = admission::refusal_of_node(p, settings, subject, need).await? {
        return put_off(p, Mode::Act, row, Some(p.now() + LIMIT_PAUSE), reached.detail).await.map(Some);
    }
    let made = founded(p, id, (row.provider, &row.spec.region), async {
        let now = p.now();
        let moment = Moment { now, jitter: 0, timing: &settings.timing };
        let mut node = Node::requested(Isolation::User, Evidence::to_begin_with(config.engine), &moment);
        node.paid_period = Description::of(row.provider).billing_period.filter(|_| settings.keep_paid_hours);
        let batch = vec![
            warm::require_short(row.user_id, row.row_version, config.engine),
            nodes::insert(&spec(config, row, id), &node, now),
            admission::require_node(settings, subject, id, need, now),
            warm::made(row.user_id, row.row_version, id, failures, config.engine, now),
            events::record(id, None, &node.as_event(), now),
        ];
        match p.batch(batch).await {
            Ok(_) => Ok(true),
            Err(DbError::Constraint(reason)) if is_precondition(&reason) => Ok(false),
            Err(error) => Err(error.into()),
        }
    })
    .await?;
    Ok(made.then(|| format!("{id} is being made.")))
}

fn spec(config: &Config, row: &ShortPoolRow, id: NodeId) -> NodeSpec {
    NodeSpec {
        id,
        user_id: row.user_id,
        tenant_id: row.tenant_id,
        installation: config.installation_id.clone(),
        provider: row.provider,
        credential_id: row.spec.credential_id,
        region: row.spec.region.clone(),
        size: row.spec.size.clone(),
        cpus: row.spec.cpus,
        memory_bytes: row.spec.memory_bytes,
        disk_bytes: row.spec.disk_bytes,
        image: config.settings.image.clone(),
        engine_choice: config.engine,
        price_micros_per_hour: row.spec.price_micros_per_hour,
        currency: row.spec.currency.clone(),
        slots: config.settings.slots(Isolation::User),
    }
}

/// Makes none until then, or until its user asks again, of which they are told on the last one.
async fn put_off(
    p: &impl Platform,
    mode: Mode,
    row: &ShortPoolRow,
    until: Option<UnixMillis>,
    why: String,
) -> Result<String> {
    if mode == Mode::Act {
        let mut batch = vec![warm::put_off(row.user_id, row.row_version, until, &why)];
        if let (None, Some(node)) = (until, row.last_node()) {
            let told = EventKind::Notice { detail: format!("Of the machines that are kept warm for you: {why}") };
            batch.push(events::record(node, None, &told, p.now()));
        }
        p.batch(batch).await?;
    }
    Ok(why)
}
