//! What can happen to a node, what follows from it, and the machine at its provider.

use ringfence_protocol::state::{EngineChoice, NodePolicy};
use ringfence_protocol::views::EventKind;

use crate::domain::lifecycle::FailureCode;
use crate::domain::posture::Verdict;

/// The provider's name for a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub String);

/// A machine at the provider, as far as we need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The provider's name for it.
    pub id: InstanceId,
    /// Its public address.
    pub ipv4: Option<String>,
    /// Its public address, or the network of it.
    pub ipv6: Option<String>,
}

/// Why a call of the provider gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallError {
    /// No such machine is free.
    Capacity,
    /// The account's limit is reached.
    Quota,
    /// The key is refused.
    Auth,
    /// Too many calls: wait that many milliseconds.
    RateLimited {
        /// As the provider said, if it did.
        retry_after_ms: Option<u64>,
    },
    /// The request is refused.
    Invalid,
    /// A machine of this name exists.
    NameTaken,
    /// No answer, or one that says nothing: whether the effect took place is unknown.
    Transient,
    /// An answer we do not understand: as above.
    Unknown,
}

/// What a deletion call said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deletion {
    /// The provider has accepted it.
    Accepted,
    /// The provider knows no such machine.
    NotFound,
}

/// What is known of a node's posture: whether what must hold on its machine was measured and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// None is asked for: workspaces have no isolation there.
    NotNeeded,
    /// Nothing was measured by the agent that has the node's credentials now.
    Missing,
    /// It was measured, and holds.
    Holds,
    /// It was measured, and does not hold.
    Broken,
}

impl Evidence {
    /// What is known of a machine that does not exist yet.
    pub const fn to_begin_with(engine: EngineChoice) -> Self {
        match engine {
            EngineChoice::Containers => Self::Missing,
            EngineChoice::Unconfined => Self::NotNeeded,
        }
    }

    /// Whether workspaces may be placed.
    pub const fn suffices(self) -> bool {
        match self {
            Self::NotNeeded | Self::Holds => true,
            Self::Missing | Self::Broken => false,
        }
    }
}

/// What can happen to a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The provider answered the create call.
    CreateAnswered(Result<Instance, CallError>),
    /// The provider listed the machines that carry our label.
    FindAnswered(Result<Vec<Instance>, CallError>),
    /// The provider was asked for one machine.
    GetAnswered(Result<Option<Instance>, CallError>),
    /// The provider was told to delete one machine.
    DeleteAnswered(InstanceId, Result<Deletion, CallError>),
    /// The provider says where the machine stands and which it is: of an order whose answer was lost it may be another than the
    /// one that was ordered last.
    Made {
        /// Which machine.
        id: InstanceId,
        /// Where it stands.
        region: String,
        /// Which it is.
        size: String,
    },
    /// The provider lists no such machine, and was asked for it and knows none.
    MachineMissing,
    /// The agent can take workspaces.
    AgentReady,
    /// The agent has measured its machine: what must hold holds, or not.
    PostureMeasured(Verdict),
    /// The machine will take no workspaces, for this reason.
    BootFailed {
        /// Why.
        code: FailureCode,
        /// What was seen, for people.
        detail: String,
    },
    /// The agent says that its machine cannot be trusted any more.
    TrustLost {
        /// What was seen, for people.
        detail: String,
    },
    /// A second key came with a valid bootstrap token.
    KeyConflict,
    /// Its agent says that every workspace has saved.
    WorkspacesSaved,
    /// Its owner wants it scheduled to, cordoned or drained.
    PolicyRequested(NodePolicy),
    /// Its owner wants it gone.
    DeleteRequested,
    /// Its owner gives it up: its machine cannot be destroyed from here.
    ForgetRequested,
    /// No machine may be asked for at present.
    ProvisioningPaused,
}

/// A call of the provider. Each may run twice (I10).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// Make the machine, under the node's name and label.
    Create,
    /// List the machines with the node's label.
    Find,
    /// Look at one machine.
    Get(InstanceId),
    /// Delete one machine.
    Delete(InstanceId),
}

/// What is to be done after the node was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the provider, and feed the answer back.
    Call(Call),
    /// Close the agent's link and every viewer: their credentials do not hold any more.
    CloseSockets,
    /// Tell what happened.
    Record(EventKind),
}
