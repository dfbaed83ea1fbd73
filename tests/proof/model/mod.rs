//! A node's object and its provider as an explicit model, explored exhaustively: every order of what can happen to one node,
//! within a budget of faults, crashes, messages and wishes.
//!
//! What decides is the code of production: `Node::handle`, `Workspace::handle`, `together::tick`, `alarm::Wakes`. The model has
//! only what lies between: an effect at a time, each of which may be the process's last. A turn's read and write are one
//! step, which is what the compare-and-set of its rows makes of them. Times are relative to now, so that two stories that
//! differ only in when they happened are one state.

mod ending;
mod object;
mod provider;
mod time;

use std::time::Duration;

use ringfence::domain::alarm::Wakes;
use ringfence::domain::lifecycle::{Moment, Timing};
use ringfence::domain::node::{CallError, Evidence, Node};
use ringfence::domain::patience::Patience;
use ringfence::domain::workspace::Workspace;
use ringfence_protocol::link::WorkspacePhase;
use ringfence_protocol::state::{Isolation, NodeState};
use ringfence_protocol::time::UnixMillis;
use stateright::{Checker, Model, Property};

use self::object::{Object, Run};
use self::provider::Machine;

/// Now, always.
const NOW: UnixMillis = UnixMillis::from_secs(1_800_000_000);

/// What may happen, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Calls that go wrong, machines that reads do not show yet, alarms that come early, slow runs.
    pub faults: u8,
    /// Deaths of the object's process, or of a request's.
    pub crashes: u8,
    /// Messages of the agent.
    pub says: u8,
    /// DELETE requests.
    pub deletes: u8,
}

/// The model.
#[derive(Clone)]
pub struct Life {
    pub budget: Budget,
    pub isolation: Isolation,
    pub timing: Timing,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The node's row.
    node: Option<Node>,
    /// The row of its one workspace, until it is gone.
    workspace: Option<Workspace>,
    machines: Vec<Machine>,
    next_machine: u8,
    /// Until when a create call is on its way whose caller has given up.
    late_create: Option<UnixMillis>,
    object: Object,
    request: Option<Request>,
    /// The epoch of the agent's link.
    link: Option<i64>,
    left: Budget,
    /// The first rule that was broken.
    broken: Option<&'static str>,
}

/// A request and what it does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    wish: Wish,
    next: RequestStep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wish {
    Found,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RequestStep {
    Arm,
    Write,
    Wake,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes to what comes next.
    Pass,
    /// The alarm goes off at its time, or before.
    Alarm,
    EarlyAlarm,
    /// The object does the next thing; a call has this outcome.
    Step(Outcome),
    /// The object wakes itself after a message of its agent.
    ReportWake,
    RequestStep,
    CrashObject,
    CrashRequest,
    Delete,
    /// The late create call arrives.
    Arrive,
    Connect,
    Say(Message),
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Fine,
    /// Done, and reads do not show it yet.
    Hidden,
    LostBefore,
    LostAfter,
    /// The caller gives up, and the call arrives later.
    Late,
    /// Accepted, and not done.
    Forgotten,
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    Capacity,
    Auth,
    RateLimited,
}

impl Refusal {
    const fn error(self) -> CallError {
        match self {
            Self::Capacity => CallError::Capacity,
            Self::Auth => CallError::Auth,
            Self::RateLimited => CallError::RateLimited { retry_after_ms: Some(10_000) },
        }
    }
}

/// What an agent says: at any time, in any order, again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    Ready,
    TrustLost,
    BootFailed,
    /// Of the newest generation it can know, or of the one before.
    Workspace(WorkspacePhase, bool),
    /// A hello that knows of no workspace.
    Empty,
}

const MESSAGES: [Message; 8] = [
    Message::Ready,
    Message::TrustLost,
    Message::BootFailed,
    Message::Empty,
    Message::Workspace(WorkspacePhase::Running, true),
    Message::Workspace(WorkspacePhase::Running, false),
    Message::Workspace(WorkspacePhase::Failed, true),
    Message::Workspace(WorkspacePhase::Absent, true),
];

/// Round numbers, so that stories meet again; the proportions are those of production.
fn timing() -> Timing {
    let secs = Duration::from_secs;
    Timing {
        requested: secs(60),
        provisioning: secs(60),
        booting: secs(60),
        quarantined: secs(60),
        destroying: secs(60),
        destroying_max: secs(60),
        settle: secs(100),
        idle_timeout: secs(60),
        ephemeral_lifetime: secs(300),
        user_lifetime: secs(300),
        dedicated_lifetime: secs(300),
        create_grace: secs(10),
        placing: secs(200),
        creating: secs(60),
        creating_max: secs(60),
        command: secs(60),
        stopping: secs(60),
        backoff_first: secs(10),
        backoff_max: secs(20),
        ..Timing::default()
    }
}

impl Life {
    fn new(budget: Budget, isolation: Isolation) -> Self {
        Self { budget, isolation, timing: timing() }
    }

    fn moment(&self) -> Moment<'_> {
        Moment { now: NOW, jitter: 0, timing: &self.timing }
    }

    fn requested(&self) -> (Node, Workspace) {
        let moment = self.moment();
        let patience = Patience { idle_timeout: Duration::from_secs(60), stop_keep: Duration::from_secs(60) };
        (Node::requested(self.isolation, Evidence::NotNeeded, &moment), Workspace::requested(patience, &moment))
    }
}

impl Model for Life {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let object = Object { alarm: None, founded_at: None, wakes: Wakes::default(), run: Run::Asleep, report: None };
        vec![State {
            node: None,
            workspace: None,
            machines: Vec::new(),
            next_machine: 1,
            late_create: None,
            object,
            request: Some(Request { wish: Wish::Found, next: RequestStep::Arm }),
            link: None,
            left: self.budget,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.apply(self, action);
        state.normalise();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I2 every machine has a row that lives and a deadline", |_, state: &State| {
                let looked_after = state.lives() && state.node.as_ref().is_some_and(|node| node.deadline.is_some());
                state.machines.is_empty() || looked_after
            }),
            Property::always("I7 what is not over has a timer", |_, state: &State| {
                let at_rest = state.object.is_at_rest() && state.request.is_none();
                !at_rest || !state.lives() || state.object.alarm.is_some()
            }),
            Property::always("I9 every change follows the diagram", |_, state: &State| state.broken.is_none()),
            Property::always("I10 a machine is never made twice", |_, state: &State| state.machines.len() <= 1),
            Property::always("I4 I13 left alone, everything ends", |life, state| ending::comes(life, state, false)),
            Property::always("I4 I13 after a DELETE, everything ends", |life, state| ending::comes(life, state, true)),
            Property::sometimes("a node gets ready", |_, state: &State| state.word() == Some(NodeState::Ready)),
            Property::sometimes("a node is quarantined", |_, state: &State| {
                state.word() == Some(NodeState::Quarantined)
            }),
            Property::sometimes("a machine was made and is gone", |_, state: &State| {
                state.word() == Some(NodeState::Gone) && state.next_machine > 1 && state.machines.is_empty()
            }),
        ]
    }
}

impl State {
    fn word(&self) -> Option<NodeState> {
        self.node.as_ref().map(Node::word)
    }

    fn lives(&self) -> bool {
        self.word().is_some_and(|word| word != NodeState::Gone)
    }
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// `RINGFENCE_MODEL_DEPTH` explores deeper than CI has the time for: `cargo xtask model --depth N`.
#[test]
fn whatever_happens_to_a_node_in_whatever_order_what_must_hold_does() {
    let depth = number("RINGFENCE_MODEL_DEPTH");
    let budget = Budget { faults: 2, crashes: 1, says: 2, deletes: 1 };
    for isolation in [Isolation::User, Isolation::Ephemeral] {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let began = std::time::Instant::now();
        let mut checker = Life::new(budget, isolation).checker().threads(threads);
        checker = checker.target_max_depth(depth.unwrap_or(CI_DEPTH));
        let checker = checker.spawn_bfs().join();
        eprintln!(
            "{isolation}: {} states, {} of them different, to a depth of {}, in {:.1} s",
            checker.state_count(),
            checker.unique_state_count(),
            checker.max_depth(),
            began.elapsed().as_secs_f64()
        );
        for (name, path) in checker.discoveries() {
            if checker.model().property(name).expectation == stateright::Expectation::Always {
                let last = path.last_state().clone();
                let ends = [false, true].map(|deleted| ending::of(checker.model(), &last, deleted));
                let story: Vec<String> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
                panic!("{isolation}: {name}: {}\nthen {last:#?}\nends in {ends:#?}", story.join(", "));
            }
        }
        checker.assert_properties();
    }
}

/// Deep enough for a node to be made, to get ready and to end, with two faults and a crash on the way.
const CI_DEPTH: usize = 24;
