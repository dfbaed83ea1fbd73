//! What a machine may say whose agent never ran, with the token that its user-data holds, and who else may not.

use std::time::Duration;

use ringfence::app::boot_failure::{Teller, report_boot_failure};
use ringfence::app::caller::Source;
use ringfence::config::Config;
use ringfence::domain::token;
use ringfence::error::Error;
use ringfence::ports::{Db, Entropy};
use ringfence::store::bootstrap;
use ringfence_protocol::claims::{BootstrapClaims, CallbackClaims, Confirmation};
use ringfence_protocol::ids::{JwtId, NodeId};
use ringfence_protocol::link::BootFailedReport;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{BootFailure, NodeState};

use crate::support::keys::{ORIGIN, config};
use crate::support::world::{Someone, World, run};

/// A node that boots, and the token that it boots with.
struct Booting {
    world: World,
    who: Someone,
    config: Config,
    node: NodeId,
    jti: JwtId,
    token: String,
}

impl Booting {
    async fn new() -> Self {
        let world = World::of_containers();
        world.machines_boot.set(false);
        let who = world.someone();
        let node = world.create(&who).await.unwrap().node.id;
        world.until("it boots", async || world.node(&who, node).await.state == NodeState::Booting).await;
        let config = config(&[]).map_err(|error| error.0).unwrap();
        let jti: JwtId = world.p.id();
        let now = world.p.now.get();
        let (token, expires_at) = token::sign(&config.keyring, ORIGIN, BootstrapClaims { jti, node }, now).unwrap();
        world.p.batch(vec![bootstrap::insert(jti, node, expires_at)]).await.unwrap();
        Self { world, who, config, node, jti, token }
    }

    async fn tell(&self, token: &str, address: &str) -> Result<NodeId, Error> {
        let source = Source { address: address.into(), user_agent: String::new() };
        let report = BootFailedReport { failure: BootFailure::AgentFetchFailed, detail: "curl:\n(7) refused".into() };
        report_boot_failure(&self.world.p, &self.config, &Teller { token, source: &source }, &report).await
    }

    async fn state(&self) -> NodeState {
        self.world.node(&self.who, self.node).await.state
    }

    fn audited(&self) -> i64 {
        self.world.p.db.count("SELECT COUNT(*) FROM audit WHERE action = 'node.boot_failed'")
    }
}

fn code(told: Result<NodeId, Error>) -> Option<ErrorCode> {
    told.err().map(|error| error.code)
}

#[test]
fn a_machine_says_once_that_its_boot_failed_and_is_deleted_with_the_reason() {
    run(async {
        let it = Booting::new().await;
        assert_eq!(it.tell(&it.token, "192.0.2.7").await, Ok(it.node));
        let failed = it.world.node(&it.who, it.node).await;
        assert_eq!((failed.state, failed.failure.as_deref()), (NodeState::Failed, Some("agent_fetch_failed")));
        assert!(failed.reason.ends_with("Seen: curl:(7) refused"), "{}", failed.reason);
        // Repeats are harmless, at once and when it is on its way out.
        assert_eq!(it.tell(&it.token, "192.0.2.7").await, Ok(it.node));
        it.world.p.alarms.borrow_mut().insert(it.node, it.world.p.now.get());
        it.world.until_node_gone(&it.who, it.node).await;
        assert_eq!(code(it.tell(&it.token, "192.0.2.7").await), None);
        assert_eq!(it.audited(), 1);
        assert!(it.world.cloud.is_empty());
    });
}

#[test]
fn no_other_token_says_it_and_none_that_an_agent_has_traded() {
    run(async {
        let it = Booting::new().await;
        let sign = |claims| token::sign(&it.config.keyring, ORIGIN, claims, it.world.p.now.get()).unwrap().0;
        let unknown = sign(BootstrapClaims { jti: it.world.p.id(), node: it.node });
        let elsewhere = sign(BootstrapClaims { jti: it.jti, node: it.world.p.id() });
        let callback = CallbackClaims { node: it.node, agent_epoch: 1, cnf: Confirmation { jkt: "x".into() } };
        let callback = token::sign(&it.config.keyring, ORIGIN, callback, it.world.p.now.get()).unwrap().0;
        for wrong in ["", "garbage", &unknown, &elsewhere, &callback] {
            assert_eq!(code(it.tell(wrong, "192.0.2.7").await), Some(ErrorCode::TokenInvalid), "{wrong}");
        }
        assert_eq!(code(it.tell(&it.token, "203.0.113.9").await), Some(ErrorCode::TokenInvalid), "from elsewhere");
        assert_eq!(it.state().await, NodeState::Booting);

        let consume = bootstrap::consume(it.jti, it.node, "key", "x", it.world.p.now.get());
        it.world.p.batch(vec![consume]).await.unwrap();
        assert_eq!(code(it.tell(&it.token, "192.0.2.7").await), Some(ErrorCode::TokenInvalid), "traded");
        assert_eq!((it.state().await, it.audited()), (NodeState::Booting, 0));
    });
}

#[test]
fn a_token_that_is_too_old_kills_nothing() {
    run(async {
        let it = Booting::new().await;
        it.world.p.now.set(it.world.p.now.get() + Duration::from_secs(901));
        assert_eq!(code(it.tell(&it.token, "192.0.2.7").await), Some(ErrorCode::BootstrapExpired));
        assert_eq!((it.state().await, it.audited()), (NodeState::Booting, 0));
    });
}

#[test]
fn a_node_that_is_ready_is_not_failed_by_what_its_user_data_held() {
    run(async {
        let it = Booting::new().await;
        it.world.connect(it.node).await;
        assert_eq!(it.state().await, NodeState::Ready);
        assert_eq!(code(it.tell(&it.token, "192.0.2.7").await), Some(ErrorCode::TokenInvalid));
        assert_eq!(it.state().await, NodeState::Ready);
    });
}
