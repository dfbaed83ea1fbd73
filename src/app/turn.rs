//! One turn of a node: read it with its workspaces, let the machines decide, store what they have become in one batch that
//! takes for granted what was read. Every change of a node's or workspace's state goes through here (I9).

use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::link::{ControlMessage, WorkspaceSpec};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use super::outcome::{Driven, Outgoing};
use crate::domain::lifecycle::{Denied, FailureCode, Moment, Timing};
use crate::domain::node::{self, Call, Node};
use crate::domain::together;
use crate::domain::workspace::{self, Workspace};
use crate::error::Result;
use crate::ports::{DbError, Outcome, Platform, Statement};
use crate::store::events::EventRow;
use crate::store::nodes::NodeRow;
use crate::store::workspaces::WorkspaceRow;
use crate::store::{all, events, first, nodes, versions, workspaces};

/// How often a change is tried again that another writer was quicker than.
pub(super) const MAX_CONFLICTS: usize = 8;

/// A workspace in a turn.
pub(super) struct Tenancy {
    /// As it was read.
    pub(super) row: WorkspaceRow,
    /// As it is becoming.
    pub(super) workspace: Workspace,
}

/// A node and its workspaces between reading and storing.
pub(super) struct Turn<'a> {
    /// As it was read.
    pub(super) row: NodeRow,
    /// As it is becoming.
    pub(super) node: Node,
    /// Its workspaces that are not gone.
    pub(super) tenancies: Vec<Tenancy>,
    /// Calls of the provider to make once this is stored.
    pub(super) calls: Vec<Call>,
    moment: Moment<'a>,
    records: Vec<(Option<WorkspaceId>, EventKind)>,
    told: Driven,
}

/// What became of storing a turn.
pub(super) enum Commit {
    /// It is stored; this is to be done.
    Stored(Box<Driven>),
    /// Somebody else was quicker: read again.
    Conflict,
}

impl<'a> Turn<'a> {
    /// Reads a node with its workspaces.
    pub(super) async fn load(p: &impl Platform, timing: &'a Timing, id: NodeId) -> Result<Option<Self>> {
        let mut outcomes = p.batch(vec![nodes::load(id), workspaces::of_node(id)]).await?.into_iter();
        Self::from_outcomes(p, timing, outcomes.next(), outcomes.next())
    }

    /// Reads the node of a workspace with all its workspaces.
    pub(super) async fn load_around(
        p: &impl Platform,
        timing: &'a Timing,
        workspace: WorkspaceId,
    ) -> Result<Option<Self>> {
        let statements = vec![nodes::of_workspace(workspace), workspaces::beside(workspace)];
        let mut outcomes = p.batch(statements).await?.into_iter();
        Self::from_outcomes(p, timing, outcomes.next(), outcomes.next())
    }

    fn from_outcomes(
        p: &impl Platform,
        timing: &'a Timing,
        node: Option<Outcome>,
        workspaces: Option<Outcome>,
    ) -> Result<Option<Self>> {
        let Some(row) = first::<NodeRow>(node)? else { return Ok(None) };
        let tenancies = all::<WorkspaceRow>(workspaces)
            .into_iter()
            .map(|row| Tenancy { workspace: row.workspace(), row })
            .collect();
        let moment = Moment { now: p.now(), jitter: u32::from_be_bytes(p.bytes()), timing };
        let node = row.node();
        Ok(Some(Self { row, node, tenancies, calls: Vec::new(), moment, records: Vec::new(), told: Driven::default() }))
    }

    /// When this turn takes place.
    pub(super) const fn now(&self) -> UnixMillis {
        self.moment.now
    }

    /// The workspace, if it is on this node and not gone.
    pub(super) fn tenancy(&self, id: WorkspaceId) -> Option<&Tenancy> {
        self.tenancies.iter().find(|tenancy| tenancy.row.id == id)
    }

    /// Lets the node decide.
    pub(super) fn node_event(&mut self, event: node::Event) -> std::result::Result<(), Denied> {
        for effect in self.node.handle(event, &self.moment)? {
            self.take_from_node(effect);
        }
        Ok(())
    }

    /// The machine says that its boot has failed.
    pub(super) fn boot_failed(&mut self, code: FailureCode, detail: &str) -> std::result::Result<(), Denied> {
        self.node_event(node::Event::BootFailed { code, detail: detail.to_owned() })
    }

    /// Lets a workspace decide. One that is not here is left alone.
    pub(super) fn workspace_event(
        &mut self,
        id: WorkspaceId,
        event: workspace::Event,
    ) -> std::result::Result<(), Denied> {
        let Some(place) = self.tenancies.iter().position(|tenancy| tenancy.row.id == id) else { return Ok(()) };
        let Some(tenancy) = self.tenancies.get_mut(place) else { return Ok(()) };
        for effect in tenancy.workspace.handle(event, &self.moment)? {
            self.take_from_workspace(place, effect);
        }
        Ok(())
    }

    /// Lets the workspaces follow their node, and the node its workspaces, without asking the provider.
    pub(super) fn settle_workspaces(&mut self) {
        let mut workspaces: Vec<&mut Workspace> = self.tenancies.iter_mut().map(|it| &mut it.workspace).collect();
        let effects = together::settle(&mut self.node, &mut workspaces, &self.moment);
        self.take(effects);
    }

    /// The same for a request, which has no word with the agent: where time alone would give a place up, all of it is left to the
    /// node's object, which is woken at once and orders the agent to remove what was there.
    pub(super) fn settle_unless_a_place_is_given_up(&mut self) {
        let ready = matches!(self.node.state, node::State::Ready { .. });
        let outlook = workspace::Outlook::of(&self.node, self.moment.timing);
        let gives_up = |tenancy: &Tenancy| {
            let mut ahead = tenancy.workspace.clone();
            let _ = ahead.handle(workspace::Event::Tick(outlook), &self.moment);
            tenancy.workspace.holds_place && !ahead.holds_place
        };
        if !ready || !self.tenancies.iter().any(gives_up) {
            self.settle_workspaces();
        }
    }

    /// Lets time pass, until nothing follows or the provider has to be asked.
    pub(super) fn tick(&mut self) {
        let asking = !self.calls.is_empty();
        let mut workspaces: Vec<&mut Workspace> = self.tenancies.iter_mut().map(|it| &mut it.workspace).collect();
        let effects = together::tick(&mut self.node, &mut workspaces, asking, &self.moment);
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<together::Effect>) {
        for effect in effects {
            match effect {
                together::Effect::Node(effect) => self.take_from_node(effect),
                together::Effect::Workspace(place, effect) => self.take_from_workspace(place, effect),
            }
        }
    }

    fn take_from_node(&mut self, effect: node::Effect) {
        match effect {
            node::Effect::Call(call) => self.calls.push(call),
            node::Effect::CloseSockets => self.told.close_all = true,
            node::Effect::Record(event) => self.records.push((None, event)),
        }
    }

    fn take_from_workspace(&mut self, place: usize, effect: workspace::Effect) {
        let Some(tenancy) = self.tenancies.get(place) else { return };
        let id = tenancy.row.id;
        match effect {
            workspace::Effect::Ensure => self.told.to_agent.push(ensure(tenancy, self.moment.timing)),
            workspace::Effect::Remove => self.told.to_agent.push(remove(tenancy).into()),
            workspace::Effect::CloseViewers => self.told.close_viewers.push(id),
            workspace::Effect::Record(event) => self.records.push((Some(id), event)),
        }
    }

    /// Adds a message to the agent.
    pub(super) fn tell(&mut self, message: ControlMessage) {
        self.told.to_agent.push(message.into());
    }

    /// Adds a message to the agent before all others.
    pub(super) fn tell_first(&mut self, message: ControlMessage) {
        self.told.to_agent.insert(0, message.into());
    }

    /// Orders to remove what this turn gives up without the agent's word. A link that was there all the time asks for nothing by
    /// itself, and the order may have been lost while the database was away.
    pub(super) fn given_up(&self) -> Vec<Outgoing> {
        let ready = matches!(self.node.state, node::State::Ready { .. });
        self.tenancies.iter().filter(|it| ready && it.gives_place_back()).map(|it| remove(it).into()).collect()
    }

    /// In place of what the events of this turn send: everything the agent is owed, from this turn or an earlier one.
    pub(super) fn tell_all_that_is_owed(&mut self) {
        self.told.to_agent = match self.node.state {
            node::State::Ready { .. } => {
                let timing = self.moment.timing;
                self.tenancies.iter().filter_map(|tenancy| owed(tenancy, timing)).collect()
            }
            node::State::Destroying { next: node::Destroy::Save, .. } => vec![ControlMessage::SaveAll.into()],
            node::State::Requested
            | node::State::Provisioning { .. }
            | node::State::Booting
            | node::State::Failed { .. }
            | node::State::Quarantined { .. }
            | node::State::Destroying { .. }
            | node::State::Gone { .. } => Vec::new(),
        };
    }

    /// Whether anything has to be stored.
    pub(super) fn has_changed(&self) -> bool {
        !self.records.is_empty()
            || self.node != self.row.node_like(&self.node)
            || self.tenancies.iter().any(Tenancy::has_changed)
    }

    /// When to look at this node again.
    pub(super) fn poll_timeout(&self) -> Option<UnixMillis> {
        let workspaces = self.tenancies.iter().map(|tenancy| &tenancy.workspace);
        together::poll_timeout(&self.node, workspaces, self.moment.timing)
    }

    /// Stores the turn and `extra`, all or nothing, provided that nobody has changed what was read.
    pub(super) async fn commit(&mut self, p: &impl Platform, extra: Vec<Statement>) -> Result<Commit> {
        let statements = self.statements(extra);
        let outcomes = if statements.is_empty() {
            Vec::new()
        } else {
            match p.batch(statements).await {
                Ok(outcomes) => outcomes,
                Err(DbError::Constraint(reason)) if is_precondition(&reason) => return Ok(Commit::Conflict),
                Err(error) => return Err(error.into()),
            }
        };
        self.advance();
        let mut driven = std::mem::take(&mut self.told);
        driven.events = event_views(outcomes);
        driven.next_wake = self.poll_timeout();
        Ok(Commit::Stored(Box::new(driven)))
    }

    /// Whether the node's row version moves. A place that is given back moves it too: of two who give back the last two at once,
    /// each would otherwise see the other's still taken, and nobody that the node is empty.
    fn changes_node(&self) -> bool {
        self.node != self.row.node_like(&self.node) || self.tenancies.iter().any(Tenancy::gives_place_back)
    }

    /// Whether something ends here because the agent is away, of which the row's version does not tell.
    fn takes_its_agent_for_lost(&self) -> bool {
        let ends = |node: &Node| matches!(node.code(), Some(FailureCode::AgentLost | FailureCode::MachineGone));
        let stops = |tenancy: &Tenancy| tenancy.row.workspace().running && !tenancy.workspace.running;
        self.node.link != node::Link::Up
            && (self.tenancies.iter().any(stops) || (ends(&self.node) && !ends(&self.row.node())))
    }

    fn statements(&self, extra: Vec<Statement>) -> Vec<Statement> {
        let (mut read_nodes, mut read_workspaces, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        if self.changes_node() {
            read_nodes.push((self.row.id, self.row.row_version));
            changes.push(nodes::update(self.row.id, self.row.row_version, &self.node));
        }
        for tenancy in self.tenancies.iter().filter(|tenancy| tenancy.has_changed()) {
            let (row, workspace) = (&tenancy.row, &tenancy.workspace);
            read_workspaces.push((row.id, row.row_version));
            changes.push(workspaces::update(row.id, row.row_version, workspace));
            if tenancy.gives_place_back() {
                changes.push(workspaces::release(row.id));
            }
        }
        let required = (!changes.is_empty()).then(|| versions::require(&read_nodes, &read_workspaces));
        let required =
            required.into_iter().chain(self.takes_its_agent_for_lost().then(|| nodes::require_away(self.row.id)));
        let records: Vec<_> = self.records.iter().map(|(workspace, event)| (*workspace, event)).collect();
        let recorded = (!records.is_empty()).then(|| events::record_all(self.row.id, &records, self.moment.now));
        required.chain(changes).chain(recorded).chain(extra).collect()
    }

    /// What was stored is what would be read now, but for the rows themselves: only views are made of them from here on.
    fn advance(&mut self) {
        if self.changes_node() {
            self.row.row_version += 1;
        }
        for tenancy in self.tenancies.iter_mut().filter(|tenancy| tenancy.has_changed()) {
            tenancy.row.row_version += 1;
        }
        self.records.clear();
    }
}

impl Tenancy {
    fn has_changed(&self) -> bool {
        self.workspace != self.row.workspace()
    }

    fn gives_place_back(&self) -> bool {
        !self.workspace.holds_place && self.row.workspace().holds_place
    }
}

/// Whether a batch failed because what it took for granted was not so.
pub(super) fn is_precondition(reason: &str) -> bool {
    reason.contains("precondition_failed")
}

/// The events that a batch recorded.
pub(super) fn event_views(outcomes: Vec<Outcome>) -> Vec<ringfence_protocol::views::EventView> {
    outcomes.into_iter().flat_map(|outcome| all::<EventRow>(Some(outcome))).filter_map(|row| row.view()).collect()
}

fn owed(tenancy: &Tenancy, timing: &Timing) -> Option<Outgoing> {
    match tenancy.workspace.owed()? {
        workspace::Effect::Ensure => Some(ensure(tenancy, timing)),
        workspace::Effect::Remove => Some(remove(tenancy).into()),
        workspace::Effect::CloseViewers | workspace::Effect::Record(_) => None,
    }
}

fn ensure(tenancy: &Tenancy, timing: &Timing) -> Outgoing {
    let row = &tenancy.row;
    let message = ControlMessage::EnsureWorkspace {
        workspace_id: row.id,
        spec_generation: tenancy.workspace.spec_generation,
        spec: WorkspaceSpec {
            name: row.name.clone(),
            running: tenancy.workspace.running,
            container: row.container().map(|container| container.spec),
            idle_timeout_secs: Some(tenancy.workspace.patience.idle_timeout.as_secs()),
            save_within_secs: Some(timing.save.as_secs()),
        },
        // Put in when the message is sent.
        secrets: WorkspaceSecrets::default(),
    };
    Outgoing { message, secrets_of: row.has_secrets().then_some(row.id) }
}

fn remove(tenancy: &Tenancy) -> ControlMessage {
    ControlMessage::RemoveWorkspace { workspace_id: tenancy.row.id, spec_generation: tenancy.workspace.spec_generation }
}
