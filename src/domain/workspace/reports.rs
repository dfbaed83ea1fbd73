//! What a workspace makes of its agent's reports. The agent is a peer that says what it sees: it changes what we know, and
//! never what the owner asked for, but for a workspace that ended by itself.

use ringfence_protocol::link::WorkspacePhase;

use ringfence_protocol::views::EventKind;

use super::{Effect, Report, State, Workspace};
use crate::domain::lifecycle::{Denied, FailureCode, Moment};
use crate::domain::node::explained;

impl Workspace {
    /// A single report: a change, or the answer to a command.
    pub(super) fn reported(&mut self, report: Report, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        let current = report.spec_generation >= self.spec_generation;
        if let Some(activity) = &report.activity {
            // Whatever else it says: no end is decided on what was seen before.
            let _ = self.used(activity, at);
        }
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
            (State::Creating, WorkspacePhase::Failed) => {
                self.failure_detail = report.detail;
                Ok(self.fail(report.code.unwrap_or(FailureCode::AgentFailed), at))
            }
            (State::Running | State::Stopped, WorkspacePhase::Failed) => Ok(self.broke(&report, at)),
            (State::Creating, WorkspacePhase::Running) => Ok(self.runs(at)),
            // It ran, and ended before we heard of it.
            (State::Creating, WorkspacePhase::Stopped) => Ok(self.ended(&report, at)),
            (State::Creating, WorkspacePhase::Absent) => Ok(Vec::new()),
            (State::Running, WorkspacePhase::Running) => Ok(self.confirmed(true)),
            (State::Running, WorkspacePhase::Stopped) => Ok(self.ended(&report, at)),
            (State::Stopped, WorkspacePhase::Running) if self.running => Ok(self.runs(at)),
            (State::Stopped, WorkspacePhase::Running) => Ok(self.command(at)),
            (State::Stopped, WorkspacePhase::Stopped) => Ok(self.confirmed(false)),
            // The machine has lost it; the owner wants it: it is made again, within a command's time.
            (State::Running | State::Stopped, WorkspacePhase::Absent) => {
                self.deadline = self.deadline.or(Some(at.now + at.timing.backoff_max));
                Ok(Vec::new())
            }
        }
    }

    /// The agent is getting on with it: its time begins anew, but for the limit of all of it. The deadline is moved in steps, so
    /// that a report twice a second is not a write twice a second.
    pub(super) fn progressed(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Creating => {
                let (known, limit) = (self.deadline.unwrap_or(at.now), self.state_since + at.timing.creating_max);
                let wanted = (at.now + at.timing.creating).min(limit);
                if wanted.since(known) >= at.timing.creating / 4 || (wanted > known && wanted == limit) {
                    self.deadline = Some(wanted);
                }
                Ok(Vec::new())
            }
            State::Requested | State::Placing => Err(Denied::TooEarly),
            State::Running | State::Stopped | State::Deleting | State::Gone | State::Failed { .. } => Ok(Vec::new()),
        }
    }

    /// What a hello says of this workspace: settled as a report, then whatever is still owed is sent (again).
    pub(super) fn inventory(&mut self, report: Option<Report>, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        let seen = report.unwrap_or(Report::of(WorkspacePhase::Absent, self.spec_generation));
        let (phase, spec_generation) = (seen.phase, seen.spec_generation);
        let mut effects = match self.reported(seen, at) {
            Ok(effects) => effects,
            Err(Denied::Stale) => Vec::new(),
            Err(denied @ (Denied::TooEarly | Denied::Ending)) => return Err(denied),
        };
        let told = effects.iter().any(|effect| matches!(effect, Effect::Ensure | Effect::Remove));
        match self.state {
            State::Creating if !told => effects.push(Effect::Ensure),
            State::Running | State::Stopped if !told && !self.settled(phase, spec_generation) => {
                effects.extend(self.command(at))
            }
            State::Deleting | State::Failed { .. } if !told && phase != WorkspacePhase::Absent => {
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
    fn settled(&self, phase: WorkspacePhase, spec_generation: i64) -> bool {
        let settled = match phase {
            WorkspacePhase::Running => self.running,
            // Nothing runs; where files are to be kept there are none, and a start makes it anew.
            WorkspacePhase::Stopped | WorkspacePhase::Absent => !self.running,
            WorkspacePhase::Failed => false,
        };
        settled && spec_generation >= self.spec_generation
    }

    /// It runs. What led to that is told once; what ends it has reasons of its own.
    fn runs(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        let effects = self.enter(State::Running, None, at);
        self.failure_detail = None;
        effects
    }

    /// The machine has what is asked, or has not yet followed.
    fn confirmed(&mut self, running: bool) -> Vec<Effect> {
        if self.running == running {
            self.deadline = None;
        }
        Vec::new()
    }

    /// It ran once, and cannot go on or start again. Its owner's files are not lost for that: it is stopped, with what is left of
    /// it put away, and may be started again or deleted. Where it fails even to stop, the command is repeated in its own time.
    fn broke(&mut self, report: &Report, at: &Moment<'_>) -> Vec<Effect> {
        if self.state == State::Stopped && !self.running {
            self.deadline = Some(at.now + at.timing.command);
            return Vec::new();
        }
        self.spec_generation = self.spec_generation.saturating_add(1);
        let mut effects = self.ended(report, at);
        effects.extend(self.command(at));
        effects
    }

    /// It does not run any more: as asked, or by itself. What is, is: the owner may start it again.
    fn ended(&mut self, report: &Report, at: &Moment<'_>) -> Vec<Effect> {
        let was_to_run = std::mem::replace(&mut self.running, false);
        let code = report.code.or_else(|| (report.phase == WorkspacePhase::Failed).then_some(FailureCode::AgentFailed));
        let seen = code.map(|code| explained(code, report.detail.as_deref()));
        // Where nothing was seen, it may be known already why it was to stop.
        let why = self.failure_detail.take().filter(|_| !was_to_run);
        self.failure_detail = seen.clone().or(why);
        let mut effects = self.enter(State::Stopped, None, at);
        effects.extend(seen.map(|detail| Effect::Record(EventKind::Notice { detail })));
        effects.push(Effect::CloseViewers);
        effects
    }
}
