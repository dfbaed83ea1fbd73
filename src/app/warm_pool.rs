//! The machines that a user wants kept warm for their next workspace. What follows from it is in `sweep/warm.rs`, which makes
//! them, and in `domain/node/time.rs`, which lets them outlive their idle time.

use ringfence_protocol::money::Money;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::EngineChoice;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::warm::{MAX_WARM_MINIMUM, SetWarmPoolParams, WarmMachineView, WarmPoolView};

use super::caller::Caller;
use super::order::choose_order;
use super::request_workspace::refusal;
use super::{credentials, provisioning};
use crate::config::Config;
use crate::domain::container;
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::store::warm::{self, CountedPoolRow, PoolSpec, WarmNodeRow};
use crate::store::{audit, changed, many, one};

/// What the caller wants kept, and what there is of it.
pub async fn get(p: &impl Platform, config: &Config, caller: &Caller) -> Result<WarmPoolView> {
    let Some(row) = one::<CountedPoolRow>(p, warm::counted(caller.user.id, config.engine)).await? else {
        return Ok(WarmPoolView {
            minimum: 0,
            machine: None,
            warm: 0,
            being_made: 0,
            problem: None,
            next_try_at: None,
            set_at: None,
        });
    };
    let problem = problem(p, config, &row).await?;
    let next_try = row.next_try_at_ms.map(UnixMillis::new).filter(|at| *at > p.now());
    Ok(WarmPoolView {
        minimum: row.spec.minimum,
        machine: Some(WarmMachineView {
            credential_id: row.spec.credential_id,
            region: row.spec.region.clone(),
            size: row.spec.size.clone(),
            price_per_hour: Money::from_micros(row.spec.price_micros_per_hour, row.spec.currency.clone()),
        }),
        warm: row.warm,
        being_made: row.being_made,
        next_try_at: next_try.filter(|_| problem.is_some()),
        problem,
        set_at: Some(UnixMillis::new(row.set_at_ms)),
    })
}

/// Why there are fewer than asked for.
async fn problem(p: &impl Platform, config: &Config, row: &CountedPoolRow) -> Result<Option<String>> {
    if row.ready + row.being_made < row.spec.minimum {
        if provisioning::is_paused(p, &config.settings).await? {
            return Ok(Some("An admin has paused the making of machines for everybody.".into()));
        }
        if config.engine == EngineChoice::Containers && config.published_agent().is_err() {
            return Ok(Some("The operator has published no agent for machines to fetch: none can be made.".into()));
        }
        return Ok(row.problem.clone());
    }
    let unfit = row.ready.saturating_sub(row.warm);
    Ok((unfit > 0 && row.warm + row.being_made < row.spec.minimum).then(|| {
        format!("{unfit} of them cannot take a workspace now. Another one is made once its idle time is over, if it stays so.")
    }))
}

/// Sets what the caller wants kept, in place of what they wanted before.
pub async fn set(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    params: SetWarmPoolParams,
) -> Result<WarmPoolView> {
    if params.minimum > MAX_WARM_MINIMUM {
        let detail = format!("minimum: 0 to {MAX_WARM_MINIMUM}. Nothing was changed.");
        return Err(Error::new(ErrorCode::InvalidBody, detail));
    }
    let user = caller.user.id;
    if params.minimum == 0 {
        let act = caller.act("warm_pool.set", user, "0");
        p.batch(vec![warm::delete(user), audit::record_if_changed(&act, p.now())]).await?;
        ask_the_warm(p, caller).await?;
        return get(p, config, caller).await;
    }
    let spec = chosen(p, config, caller, params).await?;
    let now = p.now();
    let detail = format!("{} of {} in {} of {}", spec.minimum, spec.size, spec.region, spec.credential_id);
    let act = caller.act("warm_pool.set", user, detail);
    let batch = vec![warm::put(user, &spec, config.engine, now), audit::record_if_changed(&act, now)];
    if !changed(&p.batch(batch).await?, 0) {
        return Err(Error::new(
            ErrorCode::NoCredential,
            "The credential was deleted meanwhile. Nothing was changed; choose another one.",
        ));
    }
    ask_the_warm(p, caller).await?;
    get(p, config, caller).await
}

/// Has the caller's warm machines look whether they are still kept: by themselves they do so seldom. One that does not answer does it
/// then.
async fn ask_the_warm(p: &impl Platform, caller: &Caller) -> Result<()> {
    for node in many::<WarmNodeRow>(p, warm::nodes(caller.user.id, MAX_WARM_MINIMUM)).await? {
        let _ = p.wake(node.id, p.now()).await;
    }
    Ok(())
}

/// What is made for it: what a workspace that asks for the same would be made on.
async fn chosen(p: &impl Platform, config: &Config, caller: &Caller, params: SetWarmPoolParams) -> Result<PoolSpec> {
    let SetWarmPoolParams { minimum, credential_id, region, size } = params;
    let like = CreateWorkspaceParams { credential_id, region, size, ..CreateWorkspaceParams::default() };
    let need = match config.engine {
        EngineChoice::Containers => {
            config.published_agent()?;
            container::ask(&like, &config.settings.containers).map_err(refusal)?.container.need()
        }
        EngineChoice::Unconfined => container::Need::default(),
    };
    let (credential, catalog) = credentials::choose(p, config, caller, &like).await?;
    let order = choose_order(&like, &catalog, &config.settings.architecture, need)?;
    Ok(PoolSpec {
        minimum,
        credential_id: credential.id,
        region: order.region,
        size: order.size,
        cpus: order.cpus,
        memory_bytes: order.memory_bytes,
        disk_bytes: order.disk_bytes,
        price_micros_per_hour: order.price_micros_per_hour,
        currency: order.currency,
    })
}
