//! What is explored, how far, and what came of it.

use ringfence::domain::node::Evidence;
use ringfence_protocol::state::Isolation;
use stateright::{Checker, Model};

use super::{Budget, Life, ending, timing};

/// How `cargo xtask model --depth N` says how deep to explore: deeper than CI has the time for.
const DEPTH: &str = "RINGFENCE_MODEL_DEPTH";

/// A life with one workspace, whose machine is measured by nobody.
fn life(isolation: Isolation, budget: Budget) -> Life {
    Life { budget, isolation, evidence: Evidence::NotNeeded, workspaces: 1, uses: false, timing: timing() }
}

const NOTHING: Budget = Budget { faults: 0, crashes: 0, says: 0, deletes: 0, spends: 0, forgets: 0, stops: 0 };

/// Explores, breadth first, so that what is found is told by the shortest story there is.
fn explore(name: &str, life: Life, ci_depth: usize, reached: &[&str]) {
    let depth = std::env::var(DEPTH).ok().and_then(|text| text.parse().ok()).unwrap_or(ci_depth);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = std::time::Instant::now();
    let checker = life.checker().threads(threads).target_max_depth(depth);
    let checker = checker.spawn_bfs().join();
    eprintln!(
        "{name}: {} states, {} of them different, to a depth of {}, in {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    let discoveries = checker.discoveries();
    for (property, path) in &discoveries {
        if checker.model().property(property).expectation == stateright::Expectation::Always {
            let last = path.last_state().clone();
            let ends = [false, true].map(|deleted| ending::of(checker.model(), &last, deleted));
            let story: Vec<String> = path.clone().into_actions().iter().map(|action| format!("{action:?}")).collect();
            panic!("{name}: {property}: {}\nthen {last:#?}\nends in {ends:#?}", story.join(", "));
        }
    }
    // Shorter stories need not come so far.
    for property in reached.iter().filter(|_| depth >= ci_depth) {
        assert!(discoveries.contains_key(*property), "{name}: never: {property}");
    }
}

const READY: &str = "a node gets ready";
const QUARANTINED: &str = "a node is quarantined";
const MADE_AND_GONE: &str = "a machine was made and is gone";
const GIVEN_UP: &str = "a machine is given up";
const SPENT: &str = "a machine ends because a budget is spent";
const STOPPED: &str = "a workspace stands still, as it was asked to";
const RESTARTED: &str = "a workspace runs again, as it was asked to";
const IDLE: &str = "a workspace is stopped because nobody uses it";
const UNTRUSTED: &str = "an agent is ready on a machine where what must hold does not";

/// Deep enough for a node to be made, to get ready and to end, with two faults and a crash on the way.
#[test]
fn whatever_happens_to_a_node_in_whatever_order_what_must_hold_does() {
    let budget = Budget { faults: 2, crashes: 1, says: 2, deletes: 1, ..NOTHING };
    for isolation in [Isolation::User, Isolation::Ephemeral] {
        explore(isolation.as_str(), life(isolation, budget), 24, &[READY, QUARANTINED, MADE_AND_GONE]);
    }
}

/// Their node, or one of them, is deleted while the other goes on.
#[test]
fn whatever_happens_to_two_workspaces_of_a_node_what_must_hold_does() {
    let budget = Budget { faults: 1, crashes: 1, says: 3, deletes: 1, ..NOTHING };
    let two = Life { workspaces: 2, ..life(Isolation::User, budget) };
    explore("two workspaces", two, 21, &[READY, QUARANTINED]);
}

#[test]
fn a_machine_takes_workspaces_only_once_what_must_hold_was_measured_to_hold() {
    let budget = Budget { faults: 1, crashes: 1, says: 3, deletes: 1, ..NOTHING };
    let measured = Life { evidence: Evidence::Missing, ..life(Isolation::User, budget) };
    explore("measured", measured, 21, &[READY, UNTRUSTED]);
}

#[test]
fn a_spent_budget_ends_a_machine_whatever_happens() {
    let budget = Budget { faults: 1, crashes: 1, says: 2, deletes: 1, spends: 1, ..NOTHING };
    explore("budget", life(Isolation::User, budget), 21, &[READY, SPENT]);
}

#[test]
fn what_is_stuck_can_be_given_up_and_stays_so() {
    let budget = Budget { faults: 2, crashes: 1, says: 1, deletes: 1, forgets: 1, ..NOTHING };
    explore("given up", life(Isolation::User, budget), 23, &[GIVEN_UP]);
}

#[test]
fn a_workspace_that_is_stopped_and_started_ends_all_the_same() {
    let budget = Budget { crashes: 1, says: 4, stops: 2, ..NOTHING };
    explore("stops", life(Isolation::User, budget), 26, &[READY, STOPPED, RESTARTED]);
}

/// Use that is told late, again, or beside an alarm.
#[test]
fn a_workspace_is_stopped_for_want_of_use_and_never_while_it_is_used() {
    let budget = Budget { crashes: 1, says: 4, ..NOTHING };
    let used = Life { uses: true, ..life(Isolation::User, budget) };
    explore("idle", used, 29, &[READY, IDLE]);
}
