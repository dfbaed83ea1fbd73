//! What counts against a limit.

use ringfence::ports::{Clock, Db};
use ringfence::store::limits;
use ringfence_protocol::state::{LimitMeasure, LimitScope};

use super::world::World;

pub async fn used(world: &World, scope: LimitScope, subject: &str, measure: LimitMeasure) -> i64 {
    let asked = limits::Asked { scope, subject: subject.into(), measure, configured: None, more: 0 };
    let outcomes = world.p.batch(vec![limits::usage(&[asked], world.p.now())]).await.unwrap();
    outcomes[0].rows[0]["used"].as_i64().unwrap()
}
