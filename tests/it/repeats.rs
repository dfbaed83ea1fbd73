//! A request that is repeated with its key makes nothing twice, whichever comes first (I10).

use ringfence::app::idempotency::Repeatable;
use ringfence::app::request_workspace::request_workspace;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::Role;

use crate::support::keys::config;
use crate::support::pools::somebody;
use crate::support::world::{World, run};

#[test]
fn a_repeated_creation_is_answered_with_what_the_first_has_made() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        let caller = world.caller(&who, Role::Member);
        let digest = "0".repeat(64);
        let config = config(&[("RINGFENCE_AGENT_SHA256", &digest)]).map_err(|error| error.0).unwrap();
        let key = |body: &str| Repeatable::new(&caller, &routes::WORKSPACE_CREATE, Some("k".into()), body.into());
        let once = async |body: &str| {
            request_workspace(&world.p, &config, &caller, CreateWorkspaceParams::default(), &key(body)).await
        };
        let (first, at_once) = tokio::join!(once("0"), once("0"));
        let (first, at_once) = (first.unwrap(), at_once.unwrap());
        let later = once("0").await.unwrap();
        assert_eq!((at_once.id, later.id), (first.id, first.id));
        assert_eq!(once("1").await.unwrap_err().code, ErrorCode::IdempotencyMismatch);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM workspaces"), 1);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 1);
    });
}
