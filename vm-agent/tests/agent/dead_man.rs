//! The dead-man switch of a whole agent: what counts as a word of the control plane, and what does not.

use std::time::Duration;

use ringfence_protocol::agent_config::AgentConfig;
use ringfence_protocol::ids::WorkspaceId;
use vm_agent::agent::Ended;
use vm_agent::control_plane::ControlPlane as Caller;
use vm_agent::dead_man::Heard;
use vm_agent::identity::Identity;
use vm_agent::origin::Origin;
use vm_agent::secret::Secret;

use crate::support::agent::{Agent, Machine};
use crate::support::control_plane::{ControlPlane, DATABASE_AWAY, Outage, PROXY_ALONE, now};
use crate::support::link::Link;
use crate::support::{soon, until};

fn configure(machine: &Machine, change: impl FnOnce(&mut AgentConfig)) {
    let mut config = machine.config();
    change(&mut config);
    std::fs::write(&machine.options.config, serde_json::to_vec(&config).unwrap()).unwrap();
}

/// An agent that has a link.
async fn linked(silence: Duration) -> (ControlPlane, Machine, Agent, Link) {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    configure(&machine, |config| config.dead_man_after_secs = Some(silence.as_secs()));
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    (control_plane, machine, agent, link)
}

#[tokio::test]
async fn a_control_plane_whose_database_is_away_is_not_silent_and_a_proxy_without_one_is() {
    // Longer than the longest wait between the first six dials.
    let silence = Duration::from_secs(6);
    let (away, _machine, goes_on, link) = linked(silence).await;
    let (gone, _other_machine, ends, other_link) = linked(silence).await;
    away.ledger().outage = Some(DATABASE_AWAY);
    gone.ledger().outage = Some(PROXY_ALONE);
    drop((link, other_link));
    // Its last contact is younger than the other's but for what is said on the way.
    let ended = soon("the switch", ends.task).await.unwrap().unwrap();
    assert_eq!(ended, Ended::SwitchedOff);
    assert!(!goes_on.task.is_finished() && away.ledger().turned_away > 0);
    goes_on.stop().await;
}

/// It asks often enough for a short silence, too.
#[tokio::test]
async fn a_link_on_which_nothing_is_said_is_no_silence() {
    let silence = Duration::from_secs(3);
    let (_control_plane, _machine, agent, mut link) = linked(silence).await;
    let nothing = link.message("something that never comes", |_| None::<()>);
    assert!(tokio::time::timeout(silence * 3, nothing).await.is_err());
    assert!(!agent.task.is_finished(), "it was switched off");
    agent.stop().await;
}

#[tokio::test]
async fn only_the_control_planes_own_word_of_being_unavailable_counts() {
    let problem = "application/problem+json";
    let (_, _, unavailable) = DATABASE_AWAY;
    let others = [
        PROXY_ALONE,
        (503, "application/json", unavailable),
        (502, problem, unavailable),
        (503, problem, r#"{"code":"provisioning_paused","status":503}"#),
        (500, problem, r#"{"code":"internal","status":500}"#),
        (503, problem, "unavailable"),
        (200, problem, unavailable),
        (302, problem, unavailable),
    ];
    let control_plane = ControlPlane::start().await;
    let dir = tempfile::tempdir().unwrap();
    let caller = |heard: &Heard| {
        let identity = Identity::load_or_make(&dir.path().join("key")).unwrap();
        Caller::new(Origin::parse(control_plane.origin()).unwrap(), identity, heard.clone()).unwrap()
    };
    for (outage, counts) in [(DATABASE_AWAY, true)].into_iter().chain(others.map(|outage| (outage, false))) {
        control_plane.ledger().outage = Some(outage);
        let heard = Heard::default();
        assert!(caller(&heard).renew(&Secret::new("token".into())).await.is_err());
        assert_eq!(heard.newest() > Duration::ZERO, counts, "a renewal: {outage:?}");
        let heard = Heard::default();
        assert!(vm_agent::link::dial(&caller(&heard), &Secret::new("token".into())).await.is_err());
        assert_eq!(heard.newest() > Duration::ZERO, counts, "a dial: {outage:?}");
    }
}

/// An agent that is started again, and answered so from then on, with its last contact as if it were at the machine's boot.
async fn started_again(outage: Outage) -> (ControlPlane, Machine, Agent) {
    let (control_plane, machine, agent, link) = linked(Duration::from_secs(3600)).await;
    drop(link);
    agent.stop().await;
    let file = machine.state_file("contact.json");
    let mut contact: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let uptime_ms = std::mem::replace(&mut contact["uptime_ms"], 0.into()).as_u64().unwrap();
    std::fs::write(&file, contact.to_string()).unwrap();
    configure(&machine, |config| config.dead_man_after_secs = Some(uptime_ms / 1000 + 3600));
    control_plane.ledger().outage = Some(outage);
    let agent = machine.start();
    (control_plane, machine, agent)
}

fn noted(machine: &Machine) -> u64 {
    let contact = std::fs::read(machine.state_file("contact.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&contact).unwrap()["uptime_ms"].as_u64().unwrap()
}

#[tokio::test]
async fn an_agent_that_only_starts_has_reached_nobody() {
    let (control_plane, machine, agent) = started_again(PROXY_ALONE).await;
    // Before the seventh, the switch has looked at the clock.
    until("dials", || control_plane.ledger().turned_away > 6).await;
    agent.stop().await;
    assert_eq!(noted(&machine), 0);
}

#[tokio::test]
async fn the_word_that_the_database_is_away_is_kept_over_restarts() {
    let (_control_plane, machine, agent) = started_again(DATABASE_AWAY).await;
    until("a contact", || noted(&machine) > 0).await;
    agent.stop().await;
}

/// What happens on the node wakes the same task, and more often than the switch looks at the clock.
#[tokio::test]
async fn past_its_hard_deadline_a_machine_ends_however_busy_its_agent_is() {
    let (control_plane, machine, agent, mut link) = linked(Duration::from_secs(3600)).await;
    let workspace = WorkspaceId::from_entropy(rand::random());
    // Its use is looked at every two and a half seconds.
    link.ensure_within(workspace, 1, true, (Some(20), None));
    link.report(workspace).await;
    agent.stop().await;
    drop((link, control_plane));
    configure(&machine, |config| config.hard_deadline_at = Some(now() - Duration::from_secs(3600)));
    let agent = machine.start();
    assert_eq!(soon("the switch", agent.task).await.unwrap().unwrap(), Ended::SwitchedOff);
}
