//! The machine of a node, by itself: total, with an exit from every state (I4, I8), whatever the order of
//! events (I9).

use std::time::Duration;

use proptest::prelude::*;
use ringfence::domain::lifecycle::{FailureCode, Moment, Timing};
use ringfence::domain::node::{
    self, Call, CallError, Deletion, Destroy, Effect, Event, Evidence, Instance, InstanceId, Node, Provision,
};
use ringfence::domain::posture::Verdict;
use ringfence::domain::workspace::{self, Report};
use ringfence_protocol::link::WorkspacePhase;
use ringfence_protocol::state::{Isolation, NodePolicy, NodeState};
use ringfence_protocol::time::UnixMillis;

use crate::support::diagram::{self, NODES, Steps};
use crate::workspace_machine::at_rest;

const SETTLE: Duration = Duration::from_secs(ringfence::domain::lifecycle::SETTLE_SECS);
pub const START: UnixMillis = UnixMillis::from_secs(1_800_000_000);
fn instance(id: &str) -> Instance {
    Instance { id: InstanceId(id.into()), ipv4: None, ipv6: None }
}

pub fn moment(timing: &Timing, secs: u64) -> Moment<'_> {
    Moment { now: START + Duration::from_secs(secs), jitter: 0, timing }
}

fn node_states() -> Vec<node::State> {
    let code = FailureCode::Deleted;
    let destroying = |next, overdue| node::State::Destroying { code, next, overdue };
    vec![
        node::State::Requested,
        node::State::Provisioning { next: Provision::Create },
        node::State::Provisioning { next: Provision::Find },
        node::State::Booting,
        node::State::Ready { warm_since: None },
        node::State::Ready { warm_since: Some(START) },
        node::State::Failed { code },
        node::State::Quarantined { code },
        destroying(Destroy::Save, 0),
        destroying(Destroy::Find, 0),
        destroying(Destroy::Delete, 3),
        destroying(Destroy::Confirm, u32::MAX),
        node::State::Gone { code },
    ]
}

fn call_errors() -> Vec<CallError> {
    vec![
        CallError::Capacity,
        CallError::Quota,
        CallError::Auth,
        CallError::RateLimited { retry_after_ms: None },
        CallError::RateLimited { retry_after_ms: Some(u64::MAX) },
        CallError::Invalid,
        CallError::NameTaken,
        CallError::Transient,
        CallError::Unknown,
    ]
}

fn node_events() -> Vec<Event> {
    let mut events = vec![
        Event::Tick,
        Event::CreateAnswered(Ok(instance("1"))),
        Event::FindAnswered(Ok(vec![])),
        Event::FindAnswered(Ok(vec![instance("1")])),
        Event::FindAnswered(Ok(vec![instance("1"), instance("2")])),
        Event::GetAnswered(Ok(None)),
        Event::GetAnswered(Ok(Some(instance("1")))),
        Event::DeleteAnswered(InstanceId("1".into()), Ok(Deletion::Accepted)),
        Event::DeleteAnswered(InstanceId("1".into()), Ok(Deletion::NotFound)),
        Event::DeleteAnswered(InstanceId("2".into()), Ok(Deletion::NotFound)),
        Event::Made { id: InstanceId("1".into()), region: "fsn1".into(), size: "cx23".into() },
        Event::MachineMissing,
        Event::AgentReady,
        Event::PostureMeasured(Verdict::Holds),
        Event::PostureMeasured(Verdict::Broken),
        Event::BootFailed { code: FailureCode::AgentFetchFailed, detail: "404".into() },
        Event::TrustLost { detail: "a rule is missing".into() },
        Event::KeyConflict,
        Event::WorkspacesSaved,
        Event::DeleteRequested,
        Event::ForgetRequested,
        Event::ProvisioningPaused,
    ];
    events.extend(NodePolicy::ALL.iter().map(|policy| Event::PolicyRequested(*policy)));
    for error in call_errors() {
        events.push(Event::CreateAnswered(Err(error)));
        events.push(Event::FindAnswered(Err(error)));
        events.push(Event::GetAnswered(Err(error)));
        events.push(Event::DeleteAnswered(InstanceId("1".into()), Err(error)));
    }
    events
}

fn check_step(before: &Node, event: &Event, after: &Node, effects: &[Effect]) {
    let context = format!("{:?} × {event:?} → {:?}", before.state, after.state);
    assert!(diagram::allows(&NODES, before.word().as_str(), after.word().as_str()), "{context}");
    assert_eq!(after.deadline.is_none(), after.word() == NodeState::Gone, "{context}: every state but the last ends");
    assert!(after.hard_deadline == before.hard_deadline, "{context}: nobody bumps the hard deadline");
    assert!(after.agent_epoch >= before.agent_epoch, "{context}");
    let calls = effects.iter().any(|effect| matches!(effect, Effect::Call(_)));
    let asks = matches!(event, Event::Tick | Event::CreateAnswered(_) | Event::FindAnswered(_));
    assert!(!calls || asks, "{context}: people and agents never make the provider be called");
    if effects.contains(&Effect::Call(Call::Create)) {
        assert_eq!(
            after.state,
            node::State::Provisioning { next: Provision::Find },
            "{context}: look before asking again"
        );
        assert!(after.instance.is_none() && after.create_attempts == before.create_attempts + 1, "{context}");
    }
    if before.word() != NodeState::Gone && after.word() == NodeState::Gone {
        let accepted = matches!(before.state, node::State::Destroying { next: Destroy::Confirm, .. });
        let shown = accepted || before.last_create_at.is_none_or(|at| after.state_since.since(at) >= SETTLE);
        let confirmed =
            shown && matches!(event, Event::GetAnswered(Ok(None)) | Event::DeleteAnswered(_, Ok(Deletion::NotFound)));
        let settled = matches!(event, Event::FindAnswered(Ok(found)) if found.is_empty()) && before.instance.is_none();
        let never_asked = before.create_attempts == 0 && before.instance.is_none();
        let given_up = *event == Event::ForgetRequested && before.is_stuck();
        assert!(confirmed || settled || never_asked || given_up, "{context}: gone without proof");
    }
    if before.word() != NodeState::Ready && after.word() == NodeState::Ready {
        assert!(after.agent_ready && after.evidence.suffices(), "{context}: nobody has said, or measured, that it may");
    }
    if matches!(after.word(), NodeState::Quarantined) && before.word() != NodeState::Quarantined {
        assert!(after.agent_epoch > before.agent_epoch && effects.contains(&Effect::CloseSockets), "{context}");
    }
}

#[test]
fn every_event_in_every_state_of_a_node_follows_the_diagram() {
    let timing = Timing::default();
    let (mut pairs, mut seen) = (0, Steps::new());
    for state in node_states() {
        for (known, attempts, places, isolation, evidence, agent_ready) in [
            (None, 0, 1, Isolation::User, Evidence::NotNeeded, false),
            (None, 1, 0, Isolation::Ephemeral, Evidence::Missing, true),
            (Some(instance("1")), 1, 0, Isolation::User, Evidence::Broken, true),
            (Some(instance("1")), u32::MAX - 1, 3, Isolation::Dedicated, Evidence::Holds, false),
        ] {
            for secs in [0, 61, 700, 100_000_000] {
                for event in node_events() {
                    let mut before = Node::requested(isolation, evidence, &moment(&timing, 0));
                    before.agent_ready = agent_ready;
                    before.state = state;
                    before.instance = known.clone();
                    before.create_attempts = attempts;
                    before.last_create_at = (attempts > 0).then_some(START);
                    before.places_taken = places;
                    before.failures = u32::MAX;
                    if matches!(state, node::State::Gone { .. }) {
                        before.deadline = None;
                    }
                    let mut after = before.clone();
                    match after.handle(event.clone(), &moment(&timing, secs)) {
                        Ok(effects) => {
                            let creating = matches!(state, node::State::Provisioning { .. } | node::State::Requested);
                            // A machine is known from the moment there is one: the machine never gets into these pairs.
                            if !(creating && known.is_some()) {
                                check_step(&before, &event, &after, &effects);
                                seen.insert((before.word().to_string(), after.word().to_string()));
                            }
                        }
                        Err(_) => assert_eq!(before, after, "a denied event changes nothing"),
                    }
                    pairs += 1;
                }
            }
        }
    }
    assert!(pairs > 5000);
    diagram::assert_is(&NODES, &seen);
}

#[test]
fn delete_is_accepted_in_every_state_of_a_node() {
    let timing = Timing::default();
    for state in node_states() {
        let mut node = Node::requested(Isolation::User, Evidence::Missing, &moment(&timing, 0));
        node.state = state;
        node.handle(Event::DeleteRequested, &moment(&timing, 1)).unwrap();
        assert!(matches!(node.word(), NodeState::Destroying | NodeState::Gone));
        let before = node.clone();
        assert!(node.handle(Event::DeleteRequested, &moment(&timing, 2)).unwrap().is_empty());
        assert_eq!(node, before, "a repeat changes nothing");
    }
}

#[test]
fn a_node_of_containers_is_ready_when_its_agent_says_so_and_what_was_measured_holds_in_either_order() {
    let timing = Timing::default();
    let booting = || {
        let mut node = Node::requested(Isolation::User, Evidence::Missing, &moment(&timing, 0));
        (node.state, node.instance) = (node::State::Booting, Some(instance("1")));
        node
    };
    let measured = |verdict| Event::PostureMeasured(verdict);
    for events in [
        vec![Event::AgentReady, measured(Verdict::Holds)],
        vec![measured(Verdict::Holds), Event::AgentReady],
        vec![measured(Verdict::Broken), Event::AgentReady, Event::Tick, measured(Verdict::Holds)],
    ] {
        let mut node = booting();
        let last = events.len() - 1;
        for (at, event) in events.into_iter().enumerate() {
            assert_eq!(node.word(), NodeState::Booting, "before {event:?}");
            node.handle(event, &moment(&timing, 1 + at as u64)).unwrap();
        }
        assert_eq!(node.word(), NodeState::Ready, "after {last}");
    }
    let mut node = booting();
    for event in [Event::AgentReady, measured(Verdict::Broken), Event::Tick] {
        node.handle(event, &moment(&timing, 5)).unwrap();
    }
    assert_eq!(node.word(), NodeState::Booting, "what does not hold does not take workspaces");
    node.handle(Event::Tick, &moment(&timing, 601)).unwrap();
    assert_eq!(node.code(), Some(FailureCode::BootTimeout));
}

/// Three things have to agree before a node ends because its provider does not have its machine: both its reads, and its agent.
#[test]
fn a_machine_that_is_missing_ends_its_node_only_where_its_agent_is_away_and_reads_have_settled() {
    let timing = Timing::default();
    let settled = START + SETTLE;
    let down = node::Link::Down { since: START };
    for (link, at, ends) in [
        (node::Link::Up, settled, false),
        (down, settled - Duration::from_secs(1), false),
        (down, settled, true),
        (node::Link::Never, settled, true),
    ] {
        let mut node = Node::requested(Isolation::User, Evidence::NotNeeded, &moment(&timing, 0));
        (node.state, node.instance) = (node::State::Ready { warm_since: None }, Some(instance("1")));
        (node.last_create_at, node.link) = (Some(START), link);
        let at = Moment { now: at, jitter: 0, timing: &timing };
        assert_eq!(node.handle(Event::MachineMissing, &at).is_ok(), ends, "{link:?}");
        assert_eq!(node.code(), ends.then_some(FailureCode::MachineGone));
    }
}

#[test]
fn what_was_seen_stands_behind_what_is_said() {
    let timing = Timing::default();
    let mut workspace = at_rest(workspace::State::Creating);
    let report = Report {
        code: Some(FailureCode::ImageNotFound),
        detail: Some("manifest unknown".into()),
        ..Report::of(WorkspacePhase::Failed, 1)
    };
    workspace.handle(workspace::Event::Reported(report), &moment(&timing, 1)).unwrap();
    assert_eq!(workspace.code(), Some(FailureCode::ImageNotFound));
    assert_eq!(workspace.reason(), format!("{} Seen: manifest unknown", FailureCode::ImageNotFound.sentence()));

    let mut node = Node::requested(Isolation::User, Evidence::Missing, &moment(&timing, 0));
    node.state = node::State::Booting;
    let event = Event::BootFailed { code: FailureCode::AgentDigestMismatch, detail: "got 00ff".into() };
    node.handle(event, &moment(&timing, 1)).unwrap();
    node.handle(Event::Tick, &moment(&timing, 1)).unwrap();
    assert_eq!((node.word(), node.code()), (NodeState::Destroying, Some(FailureCode::AgentDigestMismatch)));
    assert!(node.reason().ends_with("Seen: got 00ff"), "{}", node.reason());
}

#[test]
fn pauses_double_are_spread_and_end_at_the_longest() {
    let timing = Timing::default();
    let longest = Duration::from_secs(60);
    for jitter in [0, 1, 500, 999, u32::MAX] {
        for failures in [0, 1, 3, 10, u32::MAX] {
            let at = Moment { now: START, jitter, timing: &timing };
            let pause = at.backoff(failures, longest).since(START);
            let full = Duration::from_secs(1).saturating_mul(1 << failures.min(20)).min(longest);
            assert!(pause <= full && pause >= full / 2, "{failures} failures, {jitter}: {pause:?}");
        }
    }
}

#[test]
fn every_failure_has_a_word_that_is_read_back() {
    for code in FailureCode::ALL {
        assert_eq!(FailureCode::parse(code.as_str()), Some(*code));
        assert!(code.sentence().ends_with('.'));
        let line = format!("| `{}` | {} |", code.as_str(), code.sentence());
        assert!(include_str!("../../docs/errors.md").contains(&line), "docs/errors.md lacks: {line}");
    }
}

/// Of a machine that the node does not know (any more) there is nothing to delete: it goes on looking, at its own pace.
#[test]
fn an_answer_about_another_machine_changes_nothing() {
    let timing = Timing::default();
    let at = moment(&timing, 0);
    let mut node = Node::requested(Isolation::User, Evidence::NotNeeded, &at);
    node.handle(Event::Tick, &at).unwrap();
    node.handle(Event::DeleteRequested, &at).unwrap();
    let before = node.clone();
    assert!(node.instance.is_none());
    node.handle(Event::GetAnswered(Ok(Some(instance("1")))), &at).unwrap_err();
    assert_eq!(node, before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order, each step follows the diagram; and once it is to go, a provider that answers
    /// brings it to its end in few steps, with every machine deleted that it has ever learnt of.
    #[test]
    fn a_node_always_gets_to_its_end(
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..2_000), 0..40),
        exists in any::<bool>(),
        isolation in prop::sample::select(Isolation::ALL),
        evidence in prop::sample::select(vec![Evidence::NotNeeded, Evidence::Missing]),
    ) {
        let timing = Timing::default();
        let events = node_events();
        let mut node = Node::requested(isolation, evidence, &moment(&timing, 0));
        let mut secs = 0;
        for (pick, pause) in picks {
            secs += pause;
            let (before, event) = (node.clone(), pick.get(&events).clone());
            match node.handle(event.clone(), &moment(&timing, secs)) {
                Ok(effects) => check_step(&before, &event, &node, &effects),
                Err(_) => prop_assert_eq!(&before, &node),
            }
            // A tick at the time that was asked for asks, changes something, or has no more to do at once: alarms never spin.
            let (mut ticked, before) = (node.clone(), node.clone());
            if let Some(wake) = node.poll_timeout(&timing) {
                let at = Moment { now: wake.max(START + Duration::from_secs(secs)), jitter: 7, timing: &timing };
                let effects = ticked.handle(Event::Tick, &at).unwrap();
                prop_assert!(!effects.is_empty() || ticked != before || wake > at.now, "spins in {:?}", before);
            }
        }
        node.handle(Event::DeleteRequested, &moment(&timing, secs)).unwrap();
        // A cloud that answers: the node's machine exists, or it does not. What the cloud has said to be gone is gone.
        let exists = exists && node.word() != NodeState::Gone;
        let mut machine = exists.then(|| node.instance.clone().unwrap_or_else(|| instance("1")));
        let mut now = START + Duration::from_secs(secs);
        for _ in 0..40 {
            let Some(wake) = node.poll_timeout(&timing) else { break };
            now = now.max(wake);
            let at = Moment { now, jitter: 7, timing: &timing };
            for effect in node.handle(Event::Tick, &at).unwrap() {
                let Effect::Call(call) = effect else { continue };
                let answer = match call {
                    Call::Create => unreachable!("nothing is made for a node that is to go"),
                    Call::Find => Event::FindAnswered(Ok(machine.iter().cloned().collect())),
                    Call::Get(id) => Event::GetAnswered(Ok(machine.clone().filter(|machine| machine.id == id))),
                    Call::Delete(id) => {
                        let there = machine.take_if(|machine| machine.id == id).is_some();
                        let answer = if there { Deletion::Accepted } else { Deletion::NotFound };
                        Event::DeleteAnswered(id, Ok(answer))
                    }
                };
                let _ = node.handle(answer, &at);
            }
        }
        prop_assert_eq!(node.word(), NodeState::Gone);
        prop_assert!(node.create_attempts == 0 || machine.is_none() || node.instance.is_none_or(|known| Some(known) != machine));
    }
}
