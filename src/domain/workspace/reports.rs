//! What a workspace makes of its agent's reports. The agent is a peer that says what it sees: it changes what we know, and
//! never what the owner asked for, but for a workspace that ended by itself.

use ringfence_protocol::link::WorkspacePhase;

use super::{Effect, Report, State, Workspace};
use crate::domain::lifecycle::{Denied, FailureCode, Moment};

impl Workspace {
    /// A single report: a change, or the answer to a command.
    pub(super) fn reported(&mut self, report: Report, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        let current = report.spec_generation >= self.spec_generation;
        match (self.state, report.phase) {
            (State::Requested | State::Placing, _) => Err(Denied::TooEarly),
            (State::Deleting, WorkspacePhase::Absent) => Ok(self.enter_gone(at)),
            (State::Failed { .. }, WorkspacePhase::Absent) => Ok(self.release()),
            (State::Gone, WorkspacePhase::Absent) => Ok(Vec::new()),
            (State::Deleting | State::Failed { .. }, _) => Ok(Vec::new()),
            (State::Gone, WorkspacePhase::Running | WorkspacePhase::Stopped | WorkspacePhase::Failed) => {
                Ok(vec![Effect::Remove])
            }
            // An answer to an older command: the one to the newest follows.
            (State::Creating | State::Running | State::Stopped, _) if !current => Err(Denied::Stale),
            (State::Creating | State::Running | State::Stopped, WorkspacePhase::Failed) => {
                Ok(self.fail(FailureCode::AgentFailed, at))
            }
            (State::Creating, WorkspacePhase::Running) => Ok(self.enter(State::Running, None, at)),
            // It ran, and ended before we heard of it.
            (State::Creating, WorkspacePhase::Stopped) => Ok(self.ended(at)),
            (State::Creating, WorkspacePhase::Absent) => Ok(Vec::new()),
            (State::Running, WorkspacePhase::Running) => Ok(self.confirmed(true)),
            (State::Running, WorkspacePhase::Stopped) => Ok(self.ended(at)),
            (State::Stopped, WorkspacePhase::Running) if self.running => Ok(self.enter(State::Running, None, at)),
            (State::Stopped, WorkspacePhase::Running) => Ok(self.command(at)),
            (State::Stopped, WorkspacePhase::Stopped) => Ok(self.confirmed(false)),
            // The machine has lost it; the owner wants it: it is made again, within a command's time.
            (State::Running | State::Stopped, WorkspacePhase::Absent) => {
                self.deadline = self.deadline.or(Some(at.now + at.timing.backoff_max));
                Ok(Vec::new())
            }
        }
    }

    /// What a hello says of this workspace: settled as a report, then whatever is still owed is sent (again).
    pub(super) fn inventory(&mut self, report: Option<Report>, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        let absent = Report { phase: WorkspacePhase::Absent, spec_generation: self.spec_generation };
        let seen = report.unwrap_or(absent);
        let mut effects = match self.reported(seen, at) {
            Ok(effects) => effects,
            Err(Denied::Stale) => Vec::new(),
            Err(denied @ (Denied::TooEarly | Denied::Ending)) => return Err(denied),
        };
        let told = effects.iter().any(|effect| matches!(effect, Effect::Ensure | Effect::Remove));
        match self.state {
            State::Creating if !told => effects.push(Effect::Ensure),
            State::Running | State::Stopped if !told && !self.settled(seen) => effects.extend(self.command(at)),
            State::Deleting | State::Failed { .. } if !told && seen.phase != WorkspacePhase::Absent => {
                effects.push(Effect::Remove);
            }
            State::Requested
            | State::Placing
            | State::Creating
            | State::Running
            | State::Stopped
            | State::Deleting
            | State::Gone
            | State::Failed { .. } => {}
        }
        Ok(effects)
    }

    /// Whether the machine has what is asked.
    fn settled(&self, seen: Report) -> bool {
        let phase = match seen.phase {
            WorkspacePhase::Running => self.running,
            // Nothing runs; where files are to be kept there are none, and a start makes it anew.
            WorkspacePhase::Stopped | WorkspacePhase::Absent => !self.running,
            WorkspacePhase::Failed => false,
        };
        phase && seen.spec_generation >= self.spec_generation
    }

    /// The machine has what is asked, or has not yet followed.
    fn confirmed(&mut self, running: bool) -> Vec<Effect> {
        if self.running == running {
            self.deadline = None;
        }
        Vec::new()
    }

    /// It does not run any more: as asked, or by itself. What is, is: the owner may start it again.
    fn ended(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        self.running = false;
        let mut effects = self.enter(State::Stopped, None, at);
        effects.push(Effect::CloseViewers);
        effects
    }
}
