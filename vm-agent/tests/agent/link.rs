//! The link: what is said on it, and that it always comes back.

use std::time::Duration;

use ringfence_protocol::link::{AgentMessage, ControlMessage};
use ringfence_protocol::state::EngineKind;

use crate::support::agent::Machine;
use crate::support::control_plane::ControlPlane;

#[tokio::test]
async fn the_boot_is_told_until_it_is_confirmed() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();

    let mut link = control_plane.link().await;
    assert_eq!(link.hello().await.engine, EngineKind::Unconfined);
    let mut steps = Vec::new();
    link.message("ready", |message| match message {
        AgentMessage::BootStep(step) => {
            steps.push(step.step);
            None
        }
        AgentMessage::Ready => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(
        steps,
        [
            "read the configuration",
            "make or load the node's key",
            "hash the agent's binary",
            "trade the bootstrap token",
            "dial the link",
        ]
    );
    drop(link);

    let mut link = control_plane.link().await;
    let first = link
        .message("a step", |message| match message {
            AgentMessage::BootStep(step) => Some(step.step),
            _ => None,
        })
        .await;
    assert_eq!(first, "read the configuration", "nobody has confirmed it");
    link.say(&ControlMessage::Welcome { node_id: control_plane.node_id });
    // The answer to a later message shows that the welcome was taken.
    link.make_workspace().await;
    drop(link);

    let mut link = control_plane.link().await;
    link.hello().await;
    link.message("ready without steps", |message| match message {
        AgentMessage::BootStep(step) => panic!("{step:?} was confirmed"),
        AgentMessage::Ready => Some(()),
        _ => None,
    })
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn facts_are_sent_once_a_link_has_been_there_for_a_while() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    let facts = link
        .message("facts", |message| match message {
            AgentMessage::Facts(facts) => Some(facts),
            _ => None,
        })
        .await;
    assert!(facts.memory_total_bytes > 0 && facts.disk_total_bytes > 0);
    agent.stop().await;
    link.ended().await;
}

#[tokio::test]
async fn the_agent_dials_again_and_again() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut epochs = Vec::new();
    for _ in 0..4 {
        let mut link = control_plane.link().await;
        epochs.push(link.welcome(control_plane.node_id).await.terminal_epoch);
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "the same start of the agent");
    assert!(epochs[0] > 0 && epochs[0] < 1 << 53);
    agent.stop().await;
}

#[tokio::test]
async fn what_is_not_understood_does_not_end_the_link() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    link.say_text(r#"{"type":"from_the_future","x":1}"#);
    link.say_text("garbage");
    link.send_bytes(b"\0\0");
    link.send_bytes(b"\0\0\0\x09unknown channel");
    link.make_workspace().await;
    agent.stop().await;
    tokio::time::timeout(Duration::from_secs(5), link.ended()).await.unwrap();
}
