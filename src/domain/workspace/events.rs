//! What can happen to a workspace, what follows from it, and what it can expect of its node.

use ringfence_protocol::link::{Activity, WorkspacePhase};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use crate::domain::lifecycle::{FailureCode, Timing};
use crate::domain::node;

/// What a workspace can expect of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It is not ready yet.
    Pending,
    /// It takes commands.
    Ready {
        /// When it is destroyed whatever happens.
        ends_at: UnixMillis,
        /// When its machine has switched itself off, where its agent is not there to say what goes on.
        off_at: Option<UnixMillis>,
    },
    /// It ends.
    Lost(FailureCode),
    /// It has ended.
    Gone,
}

impl Outlook {
    /// What such a node offers.
    pub fn of(node: &node::Node, timing: &Timing) -> Self {
        match node.state {
            node::State::Requested
            | node::State::Provisioning { .. }
            | node::State::Booting
            | node::State::Destroying { next: node::Destroy::Save, .. } => Self::Pending,
            node::State::Ready { .. } => Self::Ready { ends_at: node.hard_deadline, off_at: node.off_at(timing) },
            node::State::Failed { code } | node::State::Quarantined { code } | node::State::Destroying { code, .. } => {
                Self::Lost(code)
            }
            node::State::Gone { .. } => Self::Gone,
        }
    }
}

/// What an agent says of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it is now.
    pub phase: WorkspacePhase,
    /// The newest specification the agent has accepted.
    pub spec_generation: i64,
    /// Why it failed or ended by itself, if it did and the agent knows.
    pub code: Option<FailureCode>,
    /// What was seen, for people.
    pub detail: Option<String>,
    /// The newest sign of use, if it says.
    pub activity: Option<Activity>,
}

impl Report {
    /// A report without a failure, and without a sign of use.
    pub const fn of(phase: WorkspacePhase, spec_generation: i64) -> Self {
        Self { phase, spec_generation, code: None, detail: None, activity: None }
    }
}

/// What can happen to a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed, or its node has changed.
    Tick(Outlook),
    /// Its node's agent has connected and told what it knows: of this workspace this, or nothing.
    Inventory(Option<Report>),
    /// The agent reported a change, or answers a command.
    Reported(Report),
    /// The agent is getting on with making it.
    Progressed,
    /// The agent tells that it is used.
    Used(Activity),
    /// Its owner wants it kept until then; or not any longer.
    KeepAliveRequested(Option<UnixMillis>),
    /// Its owner wants it to stop.
    StopRequested,
    /// Its owner wants it to run.
    StartRequested,
    /// Its owner wants it gone.
    DeleteRequested,
}

/// What is to be done after the workspace was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell the agent what the workspace should be.
    Ensure,
    /// Tell the agent to leave nothing of it.
    Remove,
    /// Close its viewers.
    CloseViewers,
    /// Tell what happened.
    Record(EventKind),
}
