//! From user-data to a callback token (I3, I7, I12).

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::support::agent::Machine;
use crate::support::control_plane::ControlPlane;
use crate::support::{soon, until};

#[tokio::test]
async fn the_bootstrap_token_is_traded_once_and_erased() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let hello = control_plane.link().await.hello().await;
    assert_eq!(hello.agent_sha256.len(), 64);
    assert_eq!(control_plane.ledger().trades, 1);
    assert!(control_plane.ledger().nonce_refusals >= 1);

    assert_eq!(machine.config().bootstrap_token, None);
    assert_eq!(machine.config().node_id, control_plane.node_id);
    assert!(!machine.options.remove_after_bootstrap[0].exists());
    for name in ["key", "grant.json"] {
        let metadata = std::fs::metadata(machine.state_file(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    agent.stop().await;

    let agent = machine.start();
    control_plane.link().await.hello().await;
    assert_eq!(control_plane.ledger().trades, 1, "a restart trades nothing");
    agent.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let mut control_plane = ControlPlane::start().await;
    control_plane.ledger().lose_trade_answers = 2;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    control_plane.link().await.hello().await;
    assert_eq!(control_plane.ledger().trades, 3);
    agent.stop().await;
}

#[tokio::test]
async fn a_crash_before_the_answer_is_stored_recovers_with_the_same_key() {
    let mut control_plane = ControlPlane::start().await;
    control_plane.ledger().lose_trade_answers = u32::MAX;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    until("a trade", || control_plane.ledger().trades > 0).await;
    agent.task.abort();
    let _ = soon("the crash", agent.task).await;
    assert!(machine.config().bootstrap_token.is_some());

    control_plane.ledger().lose_trade_answers = 0;
    let agent = machine.start();
    control_plane.link().await.hello().await;
    assert_eq!(machine.config().bootstrap_token, None);
    agent.stop().await;
}

#[tokio::test]
async fn a_crash_before_the_token_is_erased_recovers_without_another_trade() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let config_with_token = std::fs::read(&machine.options.config).unwrap();
    let agent = machine.start();
    control_plane.link().await.hello().await;
    agent.stop().await;

    std::fs::write(&machine.options.config, config_with_token).unwrap();
    let agent = machine.start();
    control_plane.link().await.hello().await;
    assert_eq!(machine.config().bootstrap_token, None);
    assert_eq!(control_plane.ledger().trades, 1);
    agent.stop().await;
}

#[tokio::test]
async fn a_refused_trade_is_not_repeated_in_a_hurry() {
    for refusal in [(409, "bootstrap_key_conflict"), (401, "bootstrap_expired")] {
        let control_plane = ControlPlane::start().await;
        control_plane.ledger().refuse_trades = Some(refusal);
        let machine = Machine::new(&control_plane);
        let agent = machine.start();
        until("the nonce turn", || control_plane.ledger().nonce_refusals == 1).await;
        // The next trade would come in 15 s at the earliest; a loop without a pause would come now.
        let more = tokio::time::timeout(
            Duration::from_millis(500),
            until("more", || control_plane.ledger().nonce_refusals > 1),
        );
        assert!(more.await.is_err(), "asked again at once");
        assert!(machine.config().bootstrap_token.is_some());
        agent.stop().await;
    }
}

#[tokio::test]
async fn the_callback_token_is_renewed_at_half_its_life() {
    let mut control_plane = ControlPlane::start().await;
    control_plane.ledger().token_life = Some(Duration::from_secs(2));
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.hello().await;
    until("two renewals", || control_plane.ledger().renewals >= 2).await;
    agent.stop().await;
    link.ended().await;
}

#[tokio::test]
async fn plain_http_to_another_machine_is_refused() {
    let control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let mut config = machine.config();
    config.origin = "http://192.0.2.2:8787".into();
    std::fs::write(&machine.options.config, serde_json::to_vec(&config).unwrap()).unwrap();
    let ended = soon("the refusal", machine.start().task).await.unwrap();
    let message = ended.unwrap_err();
    assert!(message.contains("loopback"), "{message}");
    assert!(!message.contains(&control_plane.bootstrap_token));
}
