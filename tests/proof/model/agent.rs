//! The agent: it says anything, at any time.

use ringfence::domain::alarm::ARM_DELAY;
use ringfence::domain::lifecycle::{Denied, FailureCode};
use ringfence::domain::node::{self, Destroy, Event, Evidence};
use ringfence::domain::posture::Verdict;
use ringfence::domain::together;
use ringfence::domain::workspace::{self, Report, Workspace};
use ringfence_protocol::link::{Activity, WorkspacePhase};
use ringfence_protocol::state::{ActivityCause, NodeState};
use ringfence_protocol::time::UnixMillis;

use super::object::Heard;
use super::{Action, Life, Message, NOW, State};

/// Of the whole machine.
const OF_THE_NODE: [Message; 4] = [Message::Ready, Message::TrustLost, Message::BootFailed, Message::Empty];
/// Of a workspace: its phase, and whether it is of the newest generation.
const OF_A_WORKSPACE: [(WorkspacePhase, bool); 5] = [
    (WorkspacePhase::Running, true),
    (WorkspacePhase::Running, false),
    (WorkspacePhase::Stopped, true),
    (WorkspacePhase::Failed, true),
    (WorkspacePhase::Absent, true),
];

impl State {
    pub(super) fn agents(&self, life: &Life, actions: &mut Vec<Action>) {
        let live = matches!(self.word(), Some(NodeState::Provisioning | NodeState::Booting | NodeState::Ready));
        if self.left.says == 0 {
            return;
        }
        match self.link {
            None if live && !self.machines.is_empty() => actions.push(Action::Connect),
            None => {}
            Some(_) if self.object.heard.is_none() => actions.extend(self.messages(life).map(Action::Say)),
            Some(_) => {}
        }
    }

    fn messages(&self, life: &Life) -> impl Iterator<Item = Message> {
        let saves = self
            .node
            .as_ref()
            .is_some_and(|node| matches!(node.state, node::State::Destroying { next: Destroy::Save, .. }));
        let measures = life.evidence != Evidence::NotNeeded;
        let postures = [Verdict::Holds, Verdict::Broken].map(Message::Posture).into_iter().filter(move |_| measures);
        // Of one that is not there nothing follows.
        let places = 0..self.workspaces.len();
        let of_each =
            places.flat_map(|place| OF_A_WORKSPACE.map(|(phase, newest)| Message::Workspace(place, phase, newest)));
        let uses = (0..self.workspaces.len()).filter(|_| life.uses).map(Message::Used);
        let saved = saves.then_some(Message::Saved);
        OF_THE_NODE.into_iter().chain(postures).chain(of_each).chain(uses).chain(saved)
    }

    /// As `app/agent_report.rs` records what an agent says: the next step arms the alarm where a deadline gets sooner, or writes.
    /// `armed` is what it was armed for.
    pub(super) fn hear(&mut self, life: &Life, message: Message, armed: Option<UnixMillis>) {
        self.object.heard = None;
        let (Some(mut node), Some(epoch)) = (self.node.clone(), self.link) else { return };
        let (mut workspaces, at) = (self.workspaces.clone(), life.moment());
        if node.agent_epoch != epoch {
            self.link = None;
            return;
        }
        let recorded = match message {
            Message::Ready => node.handle(Event::AgentReady, &at),
            Message::Posture(verdict) => node.handle(Event::PostureMeasured(verdict), &at),
            Message::Saved => node.handle(Event::WorkspacesSaved, &at),
            Message::TrustLost => node.handle(Event::TrustLost { detail: String::new() }, &at),
            Message::BootFailed => {
                let code = FailureCode::EngineUnavailable;
                node.handle(Event::BootFailed { code, detail: String::new() }, &at)
            }
            Message::Empty => {
                for workspace in &mut workspaces {
                    drop(workspace.handle(workspace::Event::Inventory(None), &at));
                }
                Ok(Vec::new())
            }
            Message::Used(place) => {
                if let Some(workspace) = workspaces.get_mut(place) {
                    let activity = Activity { at: NOW, cause: ActivityCause::Process, lease_ends_at: None };
                    drop(workspace.handle(workspace::Event::Used(activity), &at));
                }
                Ok(Vec::new())
            }
            Message::Workspace(place, phase, newest) => {
                if let Some(workspace) = workspaces.get_mut(place) {
                    let generation = workspace.spec_generation;
                    let report = Report::of(phase, if newest { generation } else { generation - 1 });
                    drop(workspace.handle(workspace::Event::Reported(report), &at));
                }
                Ok(Vec::new())
            }
        };
        if let Err(Denied::Ending) = recorded {
            self.link = None;
            return;
        }
        if recorded.unwrap_or_default().contains(&node::Effect::CloseSockets) {
            self.link = None;
        }
        let mut beside: Vec<&mut Workspace> = workspaces.iter_mut().collect();
        together::settle(&mut node, &mut beside, &at);
        let (next, deadline) = (together::poll_timeout(&node, &workspaces, &life.timing), self.poll_timeout(life));
        let sooner = next.filter(|next| deadline.is_none_or(|deadline| *next < deadline));
        if let Some(sooner) =
            sooner.map(|at| at.max(NOW + ARM_DELAY)).filter(|at| armed.is_none_or(|armed| *at < armed))
        {
            self.object.called(sooner);
            self.object.heard = Some(Heard::Armed(message, sooner));
            return;
        }
        self.store(node, workspaces);
        self.object.heard = next.map(|at| Heard::Written { at, told: armed.is_some_and(|_| at <= NOW + ARM_DELAY) });
    }
}
