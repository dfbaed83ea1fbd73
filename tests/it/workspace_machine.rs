//! The machine of a workspace, by itself: as that of a node.

use std::time::Duration;

use proptest::prelude::*;
use ringfence::domain::lifecycle::{FailureCode, Moment, Timing};
use ringfence::domain::patience::Patience;
use ringfence::domain::workspace::{self, Outlook, Report, Use, Workspace};
use ringfence_protocol::link::{Activity, WorkspacePhase};
use ringfence_protocol::state::ActivityCause;
use ringfence_protocol::time::UnixMillis;

use crate::node_machine::{START, moment};
use crate::support::diagram::{self, Steps, WORKSPACES};

/// A node that takes commands, for a hundred thousand seconds.
const READY: Outlook = Outlook::Ready { ends_at: UnixMillis::from_secs(1_800_100_000), off_at: None };
const PATIENCE: Patience =
    Patience { idle_timeout: Duration::from_secs(1_800), stop_keep: Duration::from_secs(86_400) };

/// One whose agent is away, and whose machine switches itself off.
fn away() -> Outlook {
    Outlook::Ready { ends_at: START + Duration::from_secs(100_000), off_at: Some(START + Duration::from_secs(4_200)) }
}

fn workspace_states() -> Vec<workspace::State> {
    use workspace::State::{Creating, Deleting, Failed, Gone, Placing, Requested, Running, Stopped};
    vec![Requested, Placing, Creating, Running, Stopped, Deleting, Gone, Failed { code: FailureCode::AgentFailed }]
}

fn workspace_events() -> Vec<workspace::Event> {
    let phases = [WorkspacePhase::Running, WorkspacePhase::Stopped, WorkspacePhase::Absent, WorkspacePhase::Failed];
    let mut events = vec![
        workspace::Event::Inventory(None),
        workspace::Event::Progressed,
        workspace::Event::KeepAliveRequested(None),
        workspace::Event::KeepAliveRequested(Some(START + Duration::from_secs(500))),
        workspace::Event::StopRequested,
        workspace::Event::StartRequested,
        workspace::Event::DeleteRequested,
    ];
    for outlook in [Outlook::Pending, READY, away(), Outlook::Lost(FailureCode::Idle), Outlook::Gone] {
        events.push(workspace::Event::Tick(outlook));
    }
    for secs in [0, 50, 1_000_000] {
        let (at, cause) = (START + Duration::from_secs(secs), ActivityCause::TerminalInput);
        events.push(workspace::Event::Used(Activity { at, cause, lease_ends_at: (secs > 0).then_some(at) }));
    }
    for phase in phases {
        for spec_generation in [i64::MIN, 0, 1, 2, i64::MAX] {
            let code = (phase == WorkspacePhase::Failed).then_some(FailureCode::ImageNotFound);
            let report = Report { code, detail: Some("no such tag".into()), ..Report::of(phase, spec_generation) };
            events.push(workspace::Event::Inventory(Some(report.clone())));
            events.push(workspace::Event::Reported(report));
        }
    }
    events
}

fn check_workspace(before: &Workspace, event: &workspace::Event, after: &Workspace) {
    use workspace::State::{Creating, Deleting, Failed, Gone, Placing, Requested, Running, Stopped};
    let context = format!("{before:?} × {event:?} → {after:?}");
    if before.state != after.state {
        assert!(diagram::allows(&WORKSPACES, before.word().as_str(), after.word().as_str()), "{context}");
    }
    match after.state {
        Requested | Placing | Creating | Deleting => assert!(after.deadline.is_some(), "{context}"),
        // Bounded by the node's own deadline, and by a deadline of their own while the agent owes an answer.
        Running => assert!(after.running || after.deadline.is_some(), "{context}"),
        Stopped => assert!(!after.running || after.deadline.is_some(), "{context}"),
        Failed { .. } => assert!(!after.holds_place || after.deadline.is_some(), "{context}"),
        Gone => assert!(!after.holds_place && after.deadline.is_none(), "{context}"),
    }
    assert!(after.spec_generation >= before.spec_generation, "{context}");
    if after.state == Creating && before.state == Creating {
        let limit = before.state_since + Timing::default().creating_max;
        assert!(after.deadline >= before.deadline, "{context}: progress takes no time away");
        assert!(after.deadline <= Some(limit).max(before.deadline), "{context}: nor gives more than there is");
    }
}

pub fn at_rest(state: workspace::State) -> Workspace {
    let gone = state == workspace::State::Gone;
    let lasting = matches!(state, workspace::State::Running | workspace::State::Stopped);
    Workspace {
        state,
        state_since: START,
        deadline: (!gone && !lasting).then_some(START + Duration::from_secs(60)),
        running: state != workspace::State::Stopped,
        spec_generation: 1,
        holds_place: !gone,
        failure_detail: None,
        patience: PATIENCE,
        last_use: Some(Use { until: START, cause: ActivityCause::Started }),
        keep_alive_until: None,
        warned: None,
        stop_asked_at: None,
    }
}

#[test]
fn every_event_in_every_state_of_a_workspace_follows_the_diagram() {
    let timing = Timing::default();
    let mut seen = Steps::new();
    for state in workspace_states() {
        for (secs, is_owed) in [(0, false), (61, false), (100_000, false), (0, true)] {
            for event in workspace_events() {
                let mut before = at_rest(state);
                if is_owed && matches!(state, workspace::State::Running | workspace::State::Stopped) {
                    before.running = !before.running;
                    before.deadline = Some(START + Duration::from_secs(60));
                }
                // One that failed and holds no place.
                before.holds_place &= !(is_owed && matches!(state, workspace::State::Failed { .. }));
                let mut after = before.clone();
                match after.handle(event.clone(), &moment(&timing, secs)) {
                    Ok(_) => {
                        check_workspace(&before, &event, &after);
                        seen.insert((before.word().to_string(), after.word().to_string()));
                    }
                    Err(_) => assert_eq!(before, after, "a denied event changes nothing"),
                }
            }
        }
    }
    diagram::assert_is(&WORKSPACES, &seen);
}

#[test]
fn progress_gives_a_workspace_time_up_to_a_limit_that_it_does_not_move() {
    let timing = Timing::default();
    let mut workspace = at_rest(workspace::State::Creating);
    workspace.deadline = Some(START + timing.creating);
    let mut writes = 0;
    for half_secs in 0..4_000 {
        let at = Moment { now: START + Duration::from_millis(500 * half_secs), jitter: 0, timing: &timing };
        let before = workspace.clone();
        workspace.handle(workspace::Event::Tick(READY), &at).unwrap();
        if matches!(workspace.state, workspace::State::Failed { .. }) {
            assert_eq!(at.now, START + timing.creating_max);
            assert_eq!(workspace.code(), Some(FailureCode::CreateTimeout));
            assert!(writes < 40, "{writes} writes");
            return;
        }
        workspace.handle(workspace::Event::Progressed, &at).unwrap();
        writes += u32::from(workspace != before);
    }
    panic!("it never ended");
}

#[test]
fn delete_is_accepted_in_every_state_of_a_workspace() {
    let timing = Timing::default();
    for state in workspace_states() {
        let mut workspace = at_rest(state);
        workspace.handle(workspace::Event::DeleteRequested, &moment(&timing, 1)).unwrap();
        assert!(matches!(workspace.state, workspace::State::Deleting | workspace::State::Gone));
        workspace.handle(workspace::Event::Tick(READY), &moment(&timing, 1_000)).unwrap();
        assert_eq!(workspace.state, workspace::State::Gone, "the agent need not answer");
    }
}

/// A machine that is gone without a word would be asked for every two minutes of its life.
#[test]
fn a_command_that_no_agent_is_there_to_take_waits_for_it_until_its_machine_is_off() {
    let timing = Timing::default();
    let mut workspace = Workspace::requested(PATIENCE, &moment(&timing, 0));
    workspace.handle(workspace::Event::Tick(READY), &moment(&timing, 1)).unwrap();
    let stopped = Report::of(WorkspacePhase::Stopped, 1);
    workspace.handle(workspace::Event::Reported(stopped), &moment(&timing, 2)).unwrap();
    assert_eq!(workspace.state, workspace::State::Stopped);
    workspace.handle(workspace::Event::StopRequested, &moment(&timing, 3)).unwrap();
    workspace.handle(workspace::Event::StartRequested, &moment(&timing, 4)).unwrap();
    let mut alarms = 0;
    while let Some(wake) = workspace.poll_timeout(away()).filter(|_| workspace.running) {
        assert_eq!(workspace.owed(), Some(workspace::Effect::Ensure), "its agent is told when it comes back");
        let at = Moment { now: wake, jitter: 0, timing: &timing };
        workspace.handle(workspace::Event::Tick(away()), &at).unwrap();
        alarms += 1;
    }
    assert!((1..5).contains(&alarms), "{alarms} alarms");
    assert_eq!((workspace.state, workspace.owed()), (workspace::State::Stopped, None));
    assert_eq!(workspace.state_since, START + Duration::from_secs(4_200), "its keep begins");
}

#[test]
fn what_ran_on_a_machine_that_has_switched_itself_off_is_stopped_and_its_keep_runs() {
    let timing = Timing::default();
    let mut workspace = Workspace::requested(PATIENCE, &moment(&timing, 0));
    workspace.handle(workspace::Event::Tick(READY), &moment(&timing, 1)).unwrap();
    let running = Report::of(WorkspacePhase::Running, 1);
    workspace.handle(workspace::Event::Reported(running.clone()), &moment(&timing, 2)).unwrap();
    let used = Activity { at: START, cause: ActivityCause::TerminalInput, lease_ends_at: None };
    workspace.handle(workspace::Event::Used(used), &moment(&timing, 2)).unwrap();
    let before = workspace.clone();
    // Nobody knows whether it is used: it outlasts its idle time.
    assert_eq!(workspace.poll_timeout(away()), Some(START + Duration::from_secs(4_200)));
    workspace.handle(workspace::Event::Tick(away()), &moment(&timing, 4_199)).unwrap();
    assert_eq!(workspace, before);
    let effects = workspace.handle(workspace::Event::Tick(away()), &moment(&timing, 4_200)).unwrap();
    assert_eq!((workspace.state, workspace.running), (workspace::State::Stopped, false));
    assert!(effects.contains(&workspace::Effect::CloseViewers) && workspace.reason().contains("switched itself off"));
    // It was not off after all: its agent comes back, and is told what is so by now.
    let mut back = workspace.clone();
    let effects = back.handle(workspace::Event::Inventory(Some(running)), &moment(&timing, 5_000)).unwrap();
    assert!(effects.contains(&workspace::Effect::Ensure) && !back.running, "{effects:?}");
    let end = workspace.poll_timeout(away()).unwrap();
    for at in [end, end + Duration::from_secs(600), end + Duration::from_secs(90_000)] {
        workspace.handle(workspace::Event::Tick(away()), &Moment { now: at, jitter: 0, timing: &timing }).unwrap();
    }
    assert!(matches!(workspace.state, workspace::State::Deleting | workspace::State::Gone), "{workspace:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens, each step follows the diagram, and after a DELETE its deadline ends it.
    #[test]
    fn a_workspace_always_gets_to_its_end(
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..300), 0..60),
    ) {
        let timing = Timing::default();
        let events = workspace_events();
        let mut workspace = Workspace::requested(PATIENCE, &moment(&timing, 0));
        let mut secs = 0;
        for (pick, pause) in picks {
            secs += pause;
            let (before, event) = (workspace.clone(), pick.get(&events).clone());
            match workspace.handle(event.clone(), &moment(&timing, secs)) {
                Ok(_) => check_workspace(&before, &event, &workspace),
                Err(_) => prop_assert_eq!(&before, &workspace),
            }
            // As with nodes: alarms never spin, whatever its node is at: one whose workspaces save is not ready, either.
            for outlook in [READY, away(), Outlook::Pending, Outlook::Lost(FailureCode::Idle), Outlook::Gone] {
                let (mut ticked, before) = (workspace.clone(), workspace.clone());
                if let Some(wake) = workspace.poll_timeout(outlook) {
                    let at = Moment { now: wake.max(START + Duration::from_secs(secs)), jitter: 7, timing: &timing };
                    let effects = ticked.handle(workspace::Event::Tick(outlook), &at).unwrap();
                    prop_assert!(!effects.is_empty() || ticked != before || wake > at.now, "spins in {:?}", before);
                }
            }
        }
        workspace.handle(workspace::Event::DeleteRequested, &moment(&timing, secs)).unwrap();
        workspace.handle(workspace::Event::Tick(READY), &moment(&timing, secs + 10_000)).unwrap();
        prop_assert_eq!(workspace.state, workspace::State::Gone);
    }
}
