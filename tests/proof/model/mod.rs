//! A node's object and its provider as an explicit model, explored exhaustively: every order of what can happen to one node,
//! within a budget of faults, crashes, messages and wishes.
//!
//! What decides is the code of production: `Node::handle`, `Workspace::handle`, `together::tick`, `alarm::Wakes`. The model has
//! only what lies between: an effect at a time, each of which may be the process's last. A turn's read and write are one
//! step, which is what the compare-and-set of its rows makes of them: that it does is taken for granted here, and of I9 only that every
//! change follows the diagram is looked at. Times are relative to now, so that two stories that
//! differ only in when they happened are one state.

mod agent;
mod ending;
mod explore;
mod object;
mod provider;
mod time;
mod wishes;

use std::time::Duration;

use ringfence::domain::alarm::Wakes;
use ringfence::domain::lifecycle::{FailureCode, Moment, Timing};
use ringfence::domain::node::{CallError, Evidence, Node};
use ringfence::domain::patience::Patience;
use ringfence::domain::posture::Verdict;
use ringfence::domain::workspace::{self, Workspace};
use ringfence_protocol::link::WorkspacePhase;
use ringfence_protocol::state::{Isolation, NodeState};
use ringfence_protocol::time::UnixMillis;
use stateright::{Model, Property};

use self::object::{Object, Run};
use self::provider::Machine;

/// Now, always.
const NOW: UnixMillis = UnixMillis::from_secs(1_800_000_000);

/// How late an alarm may be: longer than a safety alarm and a save step.
const LATE: Duration = Duration::from_secs(60);

/// What may happen, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Calls that go wrong, machines that reads do not show yet, alarms that come early or again, slow runs.
    pub faults: u8,
    /// Deaths of the object's process, or of a request's.
    pub crashes: u8,
    /// Messages of the agent.
    pub says: u8,
    /// DELETE requests, of the node or of one of its workspaces.
    pub deletes: u8,
    /// Budgets that are spent.
    pub spends: u8,
    /// Requests to give up a node that is stuck.
    pub forgets: u8,
    /// Requests to stop or start a workspace.
    pub stops: u8,
}

/// The model.
#[derive(Clone)]
pub struct Life {
    pub budget: Budget,
    pub isolation: Isolation,
    /// What is known of its machine at first.
    pub evidence: Evidence,
    /// Workspaces that are founded with it.
    pub workspaces: usize,
    /// Whether its agent tells of use: then what nobody uses is stopped.
    pub uses: bool,
    pub timing: Timing,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The node's row.
    node: Option<Node>,
    /// The rows of its workspaces, until they are gone.
    workspaces: Vec<Workspace>,
    machines: Vec<Machine>,
    next_machine: u8,
    /// Until when a create call is on its way whose caller has given up.
    late_create: Option<UnixMillis>,
    asked: Asked,
    object: Object,
    request: Option<Request>,
    /// A sweep has written, and wakes the object next.
    sweeping: bool,
    /// The epoch of the agent's link.
    link: Option<i64>,
    left: Budget,
    /// A workspace was stopped for want of use.
    idled: bool,
    /// The first rule that was broken.
    broken: Option<&'static str>,
}

/// What is known of the last create call. Names are unique here, so that a second machine is never seen: what is looked at is whether
/// one is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    /// What became of it is recorded, or the provider was looked at since.
    Answered,
    /// Its answer is on its way, was lost, or was lost with the process.
    Unanswered,
    /// Another one was made all the same.
    Blindly,
}

/// A request and what it does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    wish: Wish,
    next: RequestStep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    Found,
    Delete,
    DeleteWorkspace,
    Forget,
    Stop,
    Start,
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
    /// The alarm goes off at its time, or before, or once more when none is set any longer.
    Alarm,
    EarlyAlarm,
    AlarmAgain,
    /// The object does the next thing; a call has this outcome.
    Step(Outcome),
    /// The object goes on with a message of its agent: writes it, or wakes itself.
    HearOn,
    RequestStep,
    CrashObject,
    CrashRequest,
    Ask(Wish),
    /// A sweep finds that its budget is spent, then wakes the object, or dies in between.
    Spend,
    SweepWake,
    CrashSweep,
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
    /// What was measured of the machine.
    Posture(Verdict),
    /// Of the workspace at that place: of the newest generation it can know, or of the one before.
    Workspace(usize, WorkspacePhase, bool),
    /// The workspace at that place is used.
    Used(usize),
    /// A hello that knows of no workspace.
    Empty,
    /// Every workspace has saved.
    Saved,
}

/// Round numbers, so that stories meet again; the proportions are those of production.
fn timing() -> Timing {
    let secs = Duration::from_secs;
    Timing {
        requested: secs(60),
        provisioning: secs(60),
        // Longer than the others and than what may be late: what follows from a message comes sooner than the alarm.
        booting: secs(180),
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
        budget_grace: secs(100),
        save: secs(20),
        ..Timing::default()
    }
}

impl Life {
    fn moment(&self) -> Moment<'_> {
        Moment { now: NOW, jitter: 0, timing: &self.timing }
    }

    /// A node with its workspaces: all but the first have taken their places before anything else has happened.
    fn requested(&self) -> (Node, Vec<Workspace>) {
        let moment = self.moment();
        let patience = Patience { idle_timeout: Duration::from_secs(60), stop_keep: Duration::from_secs(60) };
        let mut node = Node::requested(self.isolation, self.evidence, &moment);
        node.places_taken = u32::try_from(self.workspaces).unwrap_or(u32::MAX);
        (node, vec![Workspace::requested(patience, &moment); self.workspaces])
    }
}

impl Model for Life {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let (alarm, founded_at, armed_until) = (None, None, None);
        let object = Object { alarm, founded_at, armed_until, wakes: Wakes::default(), run: Run::Asleep, heard: None };
        vec![State {
            node: None,
            workspaces: Vec::new(),
            machines: Vec::new(),
            next_machine: 1,
            late_create: None,
            asked: Asked::Answered,
            object,
            request: Some(Request { wish: Wish::Found, next: RequestStep::Arm }),
            sweeping: false,
            link: None,
            left: self.budget,
            idled: false,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(actions);
        state.agents(self, actions);
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
                state.machines.is_empty() || looked_after || state.is_given_up()
            }),
            Property::always("I7 what is not over has a timer, in time", |life: &Life, state: &State| {
                !state.is_at_rest() || !state.lives() || state.has_its_timer(life)
            }),
            Property::always("I5 a spent budget ends it, after its grace", |life: &Life, state: &State| {
                !state.is_at_rest() || state.heeds_its_budget(life)
            }),
            Property::always("I9 every change follows the diagram", |_, state: &State| state.broken.is_none()),
            Property::always("I10 no machine is asked for again before it was looked for", |_, state: &State| {
                state.asked != Asked::Blindly
            }),
            Property::always("I4 I13 left alone, everything ends", |life, state| ending::comes(life, state, false)),
            Property::always("I4 I13 after a DELETE, everything ends", |life, state| ending::comes(life, state, true)),
            Property::sometimes("a node gets ready", |_, state: &State| state.word() == Some(NodeState::Ready)),
            Property::sometimes("a node is quarantined", |_, state: &State| {
                state.word() == Some(NodeState::Quarantined)
            }),
            Property::sometimes("a machine was made and is gone", |_, state: &State| {
                state.word() == Some(NodeState::Gone) && state.next_machine > 1 && state.machines.is_empty()
            }),
            Property::sometimes("a machine is given up", |_, state: &State| {
                state.is_given_up() && !state.machines.is_empty()
            }),
            Property::sometimes("a workspace stands still, as it was asked to", |_, state: &State| {
                state
                    .workspaces
                    .iter()
                    .any(|it| it.state == workspace::State::Stopped && !it.running && it.spec_generation > 1)
            }),
            Property::sometimes("a workspace runs again, as it was asked to", |_, state: &State| {
                state
                    .workspaces
                    .iter()
                    .any(|it| it.state == workspace::State::Running && it.running && it.spec_generation > 2)
            }),
            Property::sometimes("a workspace is stopped because nobody uses it", |_, state: &State| state.idled),
            Property::sometimes("a machine ends because a budget is spent", |_, state: &State| {
                state.node.as_ref().and_then(Node::code) == Some(FailureCode::BudgetSpent)
            }),
            Property::sometimes("an agent is ready on a machine where what must hold does not", |_, state: &State| {
                state.node.as_ref().is_some_and(|node| node.agent_ready && node.evidence == Evidence::Broken)
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

    /// Its owner has given it up: the sweeps of its account look for its machine.
    fn is_given_up(&self) -> bool {
        self.node.as_ref().and_then(Node::code) == Some(FailureCode::Forgotten) && !self.lives()
    }

    fn is_at_rest(&self) -> bool {
        self.object.is_at_rest() && self.request.is_none() && !self.sweeping
    }

    /// Whether its alarm comes when there is something to do, or soon after: one that was armed, one that repeats what was cut off.
    fn has_its_timer(&self, life: &Life) -> bool {
        let due = self.poll_timeout(life).unwrap_or(NOW).max(NOW);
        self.object.alarm.is_some_and(|alarm| alarm <= due + LATE)
    }

    /// Once it has looked: without workspaces it ends at once, and with some it has no more time than the grace.
    fn heeds_its_budget(&self, life: &Life) -> bool {
        let Some(node) = &self.node else { return true };
        let Some(spent_at) = node.budget_spent_at else { return true };
        let is_ready = self.word() == Some(NodeState::Ready);
        // Where something died before it woke the object, that looks at its next deadline, or when the sweep tells it again.
        let has_looked = self.object.alarm.is_some_and(|alarm| alarm > NOW) && self.left.crashes == life.budget.crashes;
        !has_looked || !is_ready || (node.places_taken > 0 && node.hard_deadline <= spent_at + life.timing.budget_grace)
    }
}
