//! What becomes of a workspace that ran once and cannot go on: its owner's files are kept, and it is commanded to stop, once.

use std::time::Duration;

use ringfence::domain::lifecycle::{FailureCode, Moment, Timing};
use ringfence::domain::patience::PatienceLimits;
use ringfence::domain::workspace::{Effect, Event, Outlook, Report, State, Workspace};
use ringfence_protocol::link::WorkspacePhase;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

const READY: Outlook = Outlook::Ready { ends_at: UnixMillis::new(1_791_000_000_000), off_at: None };
const START: UnixMillis = UnixMillis::new(1_790_000_000_000);

fn failed(spec_generation: i64) -> Event {
    let report = Report::of(WorkspacePhase::Failed, spec_generation);
    Event::Reported(Report { code: Some(FailureCode::OutOfMemory), detail: Some("its first process".into()), ..report })
}

fn running() -> Workspace {
    Workspace {
        state: State::Running,
        state_since: START,
        deadline: None,
        running: true,
        spec_generation: 1,
        holds_place: true,
        failure_detail: None,
        patience: PatienceLimits::default().ask(None, None).unwrap(),
        last_use: None,
        keep_alive_until: None,
        warned: None,
        stop_asked_at: None,
    }
}

fn told(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Ensure))
}

fn removed(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Remove))
}

#[test]
fn what_ran_and_failed_is_stopped_with_its_reason_and_its_files() {
    let timing = Timing::default();
    let at = |secs| Moment { now: START + Duration::from_secs(secs), jitter: 0, timing: &timing };
    let mut workspace = running();
    let effects = workspace.handle(failed(1), &at(1)).unwrap();
    assert_eq!((workspace.state, workspace.running, workspace.holds_place), (State::Stopped, false, true));
    assert!(told(&effects) && !removed(&effects), "{effects:?}");
    let sentence = FailureCode::OutOfMemory.sentence();
    assert!(workspace.reason().contains(sentence) && workspace.reason().contains("its first process"));
    let notice =
        |effect: &Effect| matches!(effect, Effect::Record(EventKind::Notice { detail }) if detail.contains(sentence));
    assert!(effects.iter().any(notice), "{effects:?}");

    // The same report again is an answer to an older command.
    let before = workspace.clone();
    workspace.handle(failed(1), &at(2)).unwrap_err();
    assert_eq!(workspace, before);

    // It may be started again; where that fails it is stopped again, and nothing is lost.
    workspace.handle(Event::Reported(Report::of(WorkspacePhase::Stopped, 2)), &at(3)).unwrap();
    assert_eq!(workspace.deadline, None);
    workspace.handle(Event::StartRequested, &at(4)).unwrap();
    assert_eq!(workspace.reason(), "Is being started. Its owner started it.");
    let effects = workspace.handle(failed(3), &at(5)).unwrap();
    assert_eq!((workspace.state, workspace.running), (State::Stopped, false));
    assert!(!removed(&effects), "{effects:?}");
}

#[test]
fn what_fails_even_to_stop_is_commanded_again_in_its_own_time_and_not_at_once() {
    let timing = Timing::default();
    let at = |secs| Moment { now: START + Duration::from_secs(secs), jitter: 0, timing: &timing };
    let mut workspace = running();
    workspace.handle(failed(1), &at(1)).unwrap();
    let mut commands = 0;
    for secs in 2..600 {
        let effects = workspace.handle(failed(workspace.spec_generation), &at(secs)).unwrap();
        assert!(!told(&effects), "an answer to a failure at once is a loop");
        let deadline = workspace.deadline.expect("it is to be commanded again");
        assert!(deadline <= at(secs).now + timing.command);
        commands += u32::from(told(&workspace.handle(Event::Tick(READY), &at(secs)).unwrap()));
    }
    assert_eq!(workspace.state, State::Stopped);
    assert!(commands <= 5, "{commands} commands in ten minutes");
}

#[test]
fn a_removal_is_newer_than_every_command_before_it() {
    let timing = Timing::default();
    let at = |secs| Moment { now: START + Duration::from_secs(secs), jitter: 0, timing: &timing };
    for state in [State::Creating, State::Running, State::Stopped] {
        let mut workspace = Workspace { state, ..running() };
        let asked = workspace.spec_generation;
        let effects = workspace.handle(Event::DeleteRequested, &at(1)).unwrap();
        assert!(removed(&effects), "{effects:?}");
        assert!(workspace.spec_generation > asked, "{state:?}: a command that comes late would make it again");
        let removal = workspace.spec_generation;
        workspace.handle(Event::DeleteRequested, &at(2)).unwrap();
        assert_eq!(workspace.spec_generation, removal, "a repeat is the same command");
    }
}
