//! The life of a workspace: one container on a node, owned by one user.
//!
//! ```text
//!  Requested ──▶ Placing ──node ready──▶ Creating ──agent reports──▶ Running ⇄ Stopped
//!      │  │         │                     ▲   │ │                       │        ▲ │
//!      │  └─node is ready already─────────┘   │ └─ran, and has ended────│────────┘ │
//!      │            │                         │                         │ node     │ node
//!      ├────────────┴──its node ended, no answer in time, failed───▶ Failed ◀──────┤
//!      │                                                                │          │
//!      │ DELETE: the agent was                                   DELETE │   DELETE │ from Creating, Running, Stopped
//!      │ never asked                                                    ▼          ▼
//!      └─────────────▶ Gone ◀── agent says absent, or deadline ──────── Deleting ◀─┘
//! ```
//!
//! Every step there is (tests read this list and see that there is each of these, and no other):
//!
//! ```text
//! requested → placing creating failed gone
//! placing   → creating failed gone
//! creating  → running stopped failed deleting
//! running   → stopped failed deleting
//! stopped   → running failed deleting
//! failed    → deleting gone
//! deleting  → gone
//! ```
//!
//! Deadlines. Running and Stopped may last: the node's own deadline bounds them; they have one only while the agent owes
//! an answer, and at it the command is repeated. Creating may take as long as the agent reports progress (an image, a
//! clone), up to a limit that no progress moves. Only what never ran fails by itself: what ran once and cannot go on is
//! stopped, so that its files are there as long as its node is. A failed workspace has a deadline while it still holds its
//! place; afterwards only its row is left, for its owner to read and delete.
//!
//! A command is data (`running`, `spec_generation`), stored before it is sent. Sending it again does no harm: the agent
//! refuses older generations and repeats are no change. So a lost message, link or agent loses nothing. A stop that no agent
//! confirms counts as done in the end: what the agent says when it comes back puts it right.
//!
//! What ends a workspace without anybody asking (idleness, the end of its keep) is in `ending.rs`.

use ringfence_protocol::state::{EndingCause, WorkspaceState};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use super::lifecycle::{Denied, FailureCode, Moment};
use super::node;
use super::patience::Patience;

mod ending;
mod events;
mod reports;
mod standing;

pub use ending::{Ending, Use};
pub use events::{Effect, Event, Outlook, Report};

/// When a command is looked at again that no agent is there to take: the agent is told what it is owed when it comes back, and a
/// machine that never does must not be asked for every two minutes of its life. 24 alarms and writes a day.
const UNHEARD: std::time::Duration = std::time::Duration::from_secs(3600);

/// Where a workspace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Accepted, with a place on a node.
    Requested,
    /// Waiting for its node.
    Placing,
    /// The agent was asked to make it.
    Creating,
    /// It runs.
    Running,
    /// It does not run; its volumes are kept.
    Stopped,
    /// The agent was asked to remove it.
    Deleting,
    /// Nothing of it is left. Final.
    Gone,
    /// It could not be made or was lost with its node.
    Failed {
        /// Why.
        code: FailureCode,
    },
}

/// A workspace. What it holds is what its row holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workspace {
    /// Where it is in its life.
    pub state: State,
    /// Since when.
    pub state_since: UnixMillis,
    /// When the state ends, or its command is repeated.
    pub deadline: Option<UnixMillis>,
    /// Whether its owner wants it to run.
    pub running: bool,
    /// Grows when what is asked of it changes.
    pub spec_generation: i64,
    /// Whether it holds a place on its node.
    pub holds_place: bool,
    /// What was seen when it failed, or why it is stopped or deleted though nobody asked, for people.
    pub failure_detail: Option<String>,
    /// How long it waits for use, and for its owner once it is stopped.
    pub patience: Patience,
    /// When it was last used, as its agent tells. None: the agent has never told.
    pub last_use: Option<Use>,
    /// Until when its owner keeps it.
    pub keep_alive_until: Option<UnixMillis>,
    /// How many warnings were given, and of which end.
    pub warned: Option<(EndingCause, u32)>,
    /// Since when a stop is asked for that is not confirmed.
    pub stop_asked_at: Option<UnixMillis>,
}

impl Workspace {
    /// A workspace that has just got its place.
    pub fn requested(patience: Patience, at: &Moment<'_>) -> Self {
        Self {
            state: State::Requested,
            state_since: at.now,
            deadline: Some(at.now + at.timing.requested),
            running: true,
            spec_generation: 1,
            holds_place: true,
            failure_detail: None,
            patience,
            last_use: None,
            keep_alive_until: None,
            warned: None,
            stop_asked_at: None,
        }
    }

    /// Applies what happened. On `Denied` nothing has changed.
    pub fn handle(&mut self, event: Event, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match event {
            Event::Tick(outlook) => Ok(self.tick(outlook, at)),
            Event::Inventory(report) => self.inventory(report, at),
            Event::Reported(report) => self.reported(report, at),
            Event::Progressed => self.progressed(at),
            Event::Used(activity) => self.used(&activity, at),
            Event::KeepAliveRequested(until) => self.keep_alive(until),
            Event::StopRequested => self.run_requested(false, at),
            Event::StartRequested => self.run_requested(true, at),
            Event::DeleteRequested => Ok(self.delete_requested(at)),
        }
    }

    /// When to tick next if nothing else happens.
    pub fn poll_timeout(&self, outlook: Outlook) -> Option<UnixMillis> {
        match self.state {
            // Its node was not looked at since it was accepted.
            State::Requested => Some(self.state_since),
            // A command that is owed is not repeated while the machine's workspaces save: its node has timers of its own.
            State::Running | State::Stopped if outlook == Outlook::Pending => None,
            State::Running | State::Stopped => self.deadline.into_iter().chain(self.patience_timeout(outlook)).min(),
            State::Placing | State::Creating | State::Deleting | State::Failed { .. } => self.deadline,
            State::Gone => None,
        }
    }

    /// What its agent has still to be told, or told again. Sending it twice does no harm.
    pub const fn owed(&self) -> Option<Effect> {
        match self.state {
            State::Creating => Some(Effect::Ensure),
            State::Running | State::Stopped if self.deadline.is_some() => Some(Effect::Ensure),
            State::Deleting => Some(Effect::Remove),
            State::Failed { .. } if self.holds_place => Some(Effect::Remove),
            State::Requested
            | State::Placing
            | State::Running
            | State::Stopped
            | State::Gone
            | State::Failed { .. } => None,
        }
    }

    /// The state without its data.
    pub const fn word(&self) -> WorkspaceState {
        match self.state {
            State::Requested => WorkspaceState::Requested,
            State::Placing => WorkspaceState::Placing,
            State::Creating => WorkspaceState::Creating,
            State::Running => WorkspaceState::Running,
            State::Stopped => WorkspaceState::Stopped,
            State::Deleting => WorkspaceState::Deleting,
            State::Gone => WorkspaceState::Gone,
            State::Failed { .. } => WorkspaceState::Failed,
        }
    }

    /// Why it failed.
    pub const fn code(&self) -> Option<FailureCode> {
        match self.state {
            State::Failed { code } => Some(code),
            State::Requested
            | State::Placing
            | State::Creating
            | State::Running
            | State::Stopped
            | State::Deleting
            | State::Gone => None,
        }
    }

    /// The state in a sentence, for people.
    pub fn reason(&self) -> String {
        match (self.state, self.running) {
            (State::Requested, _) => "Accepted, with a place on a node.".into(),
            (State::Placing, _) => "Waiting for its node to be ready.".into(),
            (State::Creating, _) => "Its node is making it.".into(),
            (State::Running, true) => self.with_detail("Runs."),
            (State::Running, false) => self.with_detail("Is being stopped."),
            (State::Stopped, false) => self.with_detail("Does not run; its files are kept."),
            (State::Stopped, true) => self.with_detail("Is being started."),
            (State::Deleting, _) => self.with_detail("Is being removed from its node."),
            (State::Gone, _) => self.with_detail("Nothing of it is left."),
            (State::Failed { code }, _) => node::explained(code, self.failure_detail.as_deref()),
        }
    }

    fn with_detail(&self, state: &str) -> String {
        match &self.failure_detail {
            Some(why) => format!("{state} {why}"),
            None => state.into(),
        }
    }

    /// Whether nothing will ever be asked of an agent again but to remove it: what only a command needs can be forgotten.
    pub const fn is_over(&self) -> bool {
        match self.state {
            State::Requested | State::Placing | State::Creating | State::Running | State::Stopped => false,
            State::Deleting | State::Gone | State::Failed { .. } => true,
        }
    }

    fn tick(&mut self, outlook: Outlook, at: &Moment<'_>) -> Vec<Effect> {
        let late = self.deadline.is_some_and(|deadline| at.now >= deadline);
        match (self.state, outlook) {
            (State::Requested | State::Placing, Outlook::Ready { .. }) => {
                let mut effects = self.enter(State::Creating, Some(at.timing.creating), at);
                effects.push(Effect::Ensure);
                effects
            }
            (State::Requested, Outlook::Pending) => self.enter(State::Placing, Some(at.timing.placing), at),
            (State::Placing, Outlook::Pending) if late => self.lose(FailureCode::CreateTimeout, at),
            (State::Creating, Outlook::Ready { .. } | Outlook::Pending) if late => {
                self.fail(FailureCode::CreateTimeout, at)
            }
            (State::Placing, Outlook::Pending) | (State::Creating, Outlook::Ready { .. } | Outlook::Pending) => {
                Vec::new()
            }
            (State::Running, Outlook::Ready { .. }) if late && self.stop_is_overdue(at) => self.stopped_unheard(at),
            (State::Running | State::Stopped, Outlook::Ready { off_at: Some(_), .. }) if late && self.running => {
                self.deadline = Some(at.now + UNHEARD);
                Vec::new()
            }
            (State::Running | State::Stopped, Outlook::Ready { .. }) if late => self.command(at),
            (State::Running | State::Stopped, Outlook::Ready { .. }) => self.wait(outlook, at),
            (State::Running | State::Stopped, Outlook::Pending) => Vec::new(),
            (
                State::Requested | State::Placing | State::Creating | State::Running | State::Stopped,
                Outlook::Lost(code),
            ) => self.lose(code, at),
            (State::Requested | State::Placing | State::Creating | State::Running | State::Stopped, Outlook::Gone) => {
                self.lose(FailureCode::NodeLost, at)
            }
            (State::Deleting, Outlook::Gone) => self.enter_gone(at),
            (State::Deleting, Outlook::Ready { .. } | Outlook::Pending | Outlook::Lost(_)) if late => {
                self.enter_gone(at)
            }
            (State::Deleting, Outlook::Ready { .. } | Outlook::Pending | Outlook::Lost(_)) => Vec::new(),
            (State::Failed { .. }, Outlook::Lost(_) | Outlook::Gone) => self.release(),
            (State::Failed { .. }, Outlook::Ready { .. } | Outlook::Pending) if late => self.release(),
            (State::Failed { .. }, Outlook::Ready { .. } | Outlook::Pending) => Vec::new(),
            (State::Gone, Outlook::Pending | Outlook::Ready { .. } | Outlook::Lost(_) | Outlook::Gone) => Vec::new(),
        }
    }

    fn run_requested(&mut self, running: bool, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested | State::Placing | State::Creating => {
                if running {
                    Ok(Vec::new())
                } else {
                    Err(Denied::TooEarly)
                }
            }
            State::Running | State::Stopped if self.running == running => Ok(Vec::new()),
            State::Running | State::Stopped => {
                let why = if running { "Its owner started it." } else { "Its owner stopped it." };
                Ok(self.want_running(running, why.into(), at))
            }
            State::Deleting | State::Gone | State::Failed { .. } => Err(Denied::Ending),
        }
    }

    fn want_running(&mut self, running: bool, why: String, at: &Moment<'_>) -> Vec<Effect> {
        // What was said of another end is over with it: nobody is told that it was taken back.
        self.warned = None;
        self.running = running;
        self.failure_detail = Some(why);
        self.spec_generation = self.spec_generation.saturating_add(1);
        self.stop_asked_at = (self.state == State::Running && !running).then_some(at.now);
        self.command(at)
    }

    /// Whether a stop was asked for so long ago that nobody will confirm it.
    fn stop_is_overdue(&self, at: &Moment<'_>) -> bool {
        !self.running && self.stop_asked_at.is_some_and(|asked| at.now >= asked + at.timing.stopping)
    }

    /// Its machine has switched itself off, as it does without its control plane: nothing runs there, and its save step was taken.
    fn stopped_with_its_machine(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        let why = "It was stopped: its node's agent was away for so long that its machine has switched itself off. Its files are there as long as the machine is.";
        self.running = false;
        self.spec_generation = self.spec_generation.saturating_add(1);
        self.failure_detail = Some(why.into());
        let mut effects = self.enter(State::Stopped, None, at);
        effects.extend([Effect::Record(EventKind::Notice { detail: why.into() }), Effect::CloseViewers]);
        effects
    }

    /// What nobody can see any more is taken to be so, or its keep would never begin to run out.
    fn stopped_unheard(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        let detail = "Its agent does not confirm that it has stopped.";
        let why = self.failure_detail.take().map_or_else(String::new, |why| format!("{why} "));
        self.failure_detail = Some(format!("{why}{detail}"));
        let mut effects = self.enter(State::Stopped, None, at);
        effects.extend([Effect::Record(EventKind::Notice { detail: detail.into() }), Effect::CloseViewers]);
        effects
    }

    fn delete_requested(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        self.delete(Some("Its owner deleted it.".into()), at)
    }

    /// Leaves nothing of it, for this reason.
    fn delete(&mut self, why: Option<String>, at: &Moment<'_>) -> Vec<Effect> {
        match self.state {
            State::Deleting | State::Gone => return Vec::new(),
            State::Requested
            | State::Placing
            | State::Creating
            | State::Running
            | State::Stopped
            | State::Failed { .. } => self.failure_detail = why,
        }
        match self.state {
            // The agent was never asked: Creating is stored before the first command is sent.
            State::Requested | State::Placing => self.enter_gone(at),
            State::Failed { .. } if !self.holds_place => self.enter_gone(at),
            State::Creating | State::Running | State::Stopped | State::Failed { .. } => {
                self.spec_generation = self.spec_generation.saturating_add(1);
                let mut effects = self.enter(State::Deleting, Some(at.timing.command), at);
                effects.extend([Effect::Remove, Effect::CloseViewers]);
                effects
            }
            State::Deleting | State::Gone => Vec::new(),
        }
    }

    /// Sends what is asked of it, and again when no answer comes.
    fn command(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        self.deadline = Some(at.now + at.timing.command);
        vec![Effect::Ensure]
    }

    /// It failed on a node that lives: what there is of it is removed first, then the place is free.
    fn fail(&mut self, code: FailureCode, at: &Moment<'_>) -> Vec<Effect> {
        self.spec_generation = self.spec_generation.saturating_add(1);
        let mut effects = self.enter(State::Failed { code }, Some(at.timing.command), at);
        effects.extend([Effect::Remove, Effect::CloseViewers]);
        effects
    }

    /// It is lost with its node, or its node never had it.
    fn lose(&mut self, code: FailureCode, at: &Moment<'_>) -> Vec<Effect> {
        self.failure_detail = None;
        let mut effects = self.enter(State::Failed { code }, None, at);
        self.holds_place = false;
        effects.push(Effect::CloseViewers);
        effects
    }

    fn release(&mut self) -> Vec<Effect> {
        self.holds_place = false;
        self.deadline = None;
        Vec::new()
    }

    fn enter_gone(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        self.holds_place = false;
        self.enter(State::Gone, None, at)
    }

    fn enter(&mut self, state: State, lasts: Option<std::time::Duration>, at: &Moment<'_>) -> Vec<Effect> {
        self.state = state;
        self.state_since = at.now;
        self.warned = None;
        self.stop_asked_at = None;
        self.deadline = lasts.map(|lasts| at.now + lasts);
        vec![Effect::Record(self.as_event())]
    }

    /// The state it is in, as an event to be recorded.
    pub fn as_event(&self) -> EventKind {
        EventKind::WorkspaceState { state: self.word(), detail: self.reason() }
    }
}
