//! Machines that are kept warm, as tests ask for them and look at them.

use std::time::Duration;

use ringfence::app::sweep::{Mode, all};
use ringfence::app::warm_pool;
use ringfence::config::Config;
use ringfence::error::Error;
use ringfence::ports::Clock;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::{EngineChoice, Role};
use ringfence_protocol::sweeps::{SweepActionView, SweepKind};
use ringfence_protocol::warm::{SetWarmPoolParams, WarmPoolView};

use super::accounts::Open;
use super::keys::config;
use super::world::{Someone, World, catalog};

pub const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// The configuration of an installation as these worlds are: plain processes.
pub fn ours() -> Config {
    let mut ours = config(&[]).map_err(|error| error.0).unwrap();
    ours.engine = EngineChoice::Unconfined;
    ours
}

pub fn of(minimum: u32) -> SetWarmPoolParams {
    SetWarmPoolParams { minimum, ..SetWarmPoolParams::default() }
}

/// A user whose cloud's prices are known.
pub fn somebody(world: &World) -> Someone {
    let who = world.someone();
    let prices = serde_json::to_string(&catalog()).unwrap();
    let (credential, now) = (who.credential, world.p.now().get() + 10 * i64::from(u32::MAX));
    world.p.db.execute(&format!("INSERT INTO provider_catalogs VALUES ('{credential}', {now}, '{prices}')")).unwrap();
    who
}

pub async fn ask(world: &World, who: &Someone, params: SetWarmPoolParams) -> Result<WarmPoolView, Error> {
    warm_pool::set(&world.p, &ours(), &world.caller(who, Role::Member), params).await
}

pub async fn pool(world: &World, who: &Someone) -> WarmPoolView {
    warm_pool::get(&world.p, &ours(), &world.caller(who, Role::Member)).await.unwrap()
}

pub async fn sweep_as(world: &World, config: &Config, mode: Mode) -> Vec<SweepActionView> {
    let view = all(&world.p, config, &Open(&world.cloud), mode).await;
    let outcome = view.sweeps.into_iter().find(|outcome| outcome.sweep == SweepKind::Warm).unwrap();
    assert_eq!(outcome.problem, None);
    outcome.actions
}

pub async fn sweep(world: &World) -> Vec<String> {
    sweep_as(world, &ours(), Mode::Act).await.into_iter().map(|action| action.detail).collect()
}

pub fn live(world: &World) -> Vec<NodeId> {
    let sql = "SELECT id FROM nodes WHERE state IN ('requested', 'provisioning', 'booting', 'ready') ORDER BY id";
    world.p.db.texts(sql).iter().map(|id| id.parse().unwrap()).collect()
}

pub fn pass(world: &World, time: Duration) {
    world.p.now.set(world.p.now() + time);
}

/// Sweeps until the pool is full and everything of it is warm.
pub async fn fill(world: &World, who: &Someone) {
    let minimum = pool(world, who).await.minimum;
    for _ in 0..minimum {
        sweep(world).await;
    }
    let full = async || pool(world, who).await.warm >= minimum;
    world.until("the pool is full", full).await;
}
