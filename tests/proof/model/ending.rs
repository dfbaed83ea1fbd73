//! That everything ends (I4): from each state that the model reaches, the story is told on without a fault, a message or a
//! wish, and has to come to its end in few steps, with nothing left at the provider.

use super::object::Run;
use super::{Action, Budget, Life, NOW, Outcome, State, Wish};
use super::{Request, RequestStep};

/// Steps to an end, at most (I13).
const MAX_STEPS: u32 = 1500;

/// Whether the end comes: by its timers alone, or after one more DELETE.
pub(super) fn comes(life: &Life, state: &State, deleted: bool) -> bool {
    let last = of(life, state, deleted);
    // What was given up is deleted by the sweeps of its account.
    let nothing_left = last.machines.is_empty() || last.is_given_up();
    !last.lives()
        && nothing_left
        && last.workspaces.iter().all(|workspace| !workspace.holds_place)
        && last.object.is_at_rest()
        && last.object.alarm.is_none()
}

/// Where a state's story ends.
pub(super) fn of(life: &Life, state: &State, deleted: bool) -> State {
    let mut state = state.clone();
    state.left = Budget { faults: 0, crashes: 0, says: 0, deletes: 0, spends: 0, forgets: 0, stops: 0 };
    let mut deletes = deleted;
    for _ in 0..MAX_STEPS {
        let action = if state.object.heard.is_some() {
            Action::HearOn
        } else if state.sweeping {
            Action::SweepWake
        } else if state.request.is_some() {
            Action::RequestStep
        } else if std::mem::take(&mut deletes) && state.lives() {
            state.request = Some(Request { wish: Wish::Delete, next: RequestStep::Arm });
            Action::RequestStep
        } else if state.object.run != Run::Asleep {
            Action::Step(Outcome::Fine)
        } else if state.object.alarm.is_some_and(|at| at <= NOW) {
            Action::Alarm
        } else if state.may_pass(false) {
            Action::Pass
        } else {
            break;
        };
        state.apply(life, action);
        state.normalise();
    }
    state
}
