//! What the machines of nodes and workspaces share: how long each state may last, how failures are named and how
//! attempts are spaced. Every deadline comes from exactly one constant here; `Timing` lets an installation change it.

use std::time::Duration;

use ringfence_protocol::link::{CREATING_MAX_SECS, LEASE_MAX_SECS, PING_INTERVAL_SECS};
use ringfence_protocol::state::{BootFailure, Isolation, WorkspaceFailure};
use ringfence_protocol::time::UnixMillis;

/// From the row to the first call of the provider.
pub const REQUESTED_SECS: u64 = 60;
/// From the first call to a machine that exists.
pub const PROVISIONING_SECS: u64 = 300;
/// From the machine to an agent that is ready.
pub const BOOTING_SECS: u64 = 600;
/// How long a machine whose agent is no longer trusted is kept for its owner to look at.
pub const QUARANTINED_SECS: u64 = 900;
/// The first deadline of a deletion; later ones double up to [`DESTROYING_MAX_SECS`].
pub const DESTROYING_SECS: u64 = 600;
/// The longest pause between two looks at a deletion that does not end.
pub const DESTROYING_MAX_SECS: u64 = 3600;
/// How long lists must stay empty after the last create call before a machine that was never seen counts as never made.
pub const SETTLE_SECS: u64 = 600;
/// How long a machine that carries our marks may be without a row before a sweep deletes it: an hour, in which an operator
/// notices that a database was restored.
pub const STRAY_SECS: u64 = 3600;
/// How long a link may be without a ping: three of the agent's, which itself gives a link up when one is not answered in time.
pub const SILENCE_SECS: u64 = 3 * PING_INTERVAL_SECS;
/// How long a node without workspaces waits for the next one of its user.
pub const IDLE_TIMEOUT_SECS: u64 = 30 * 60;
/// Hard maximum life of a node of one workspace.
pub const EPHEMERAL_LIFETIME_SECS: u64 = 60 * 60;
/// Hard maximum life of a shared node: a week.
pub const USER_LIFETIME_SECS: u64 = 7 * 24 * 3600;
/// Hard maximum life of a dedicated node: thirty days.
pub const DEDICATED_LIFETIME_SECS: u64 = 30 * 24 * 3600;
/// How long a create call may still be on its way after its caller died: nobody looks for its machine earlier.
pub const CREATE_GRACE_SECS: u64 = 5;
/// How long a workspace may wait for its node: all of a node's states up to Ready, and a minute.
pub const PLACING_SECS: u64 = REQUESTED_SECS + PROVISIONING_SECS + BOOTING_SECS + 60;
/// How long an agent may take to make a workspace without a sign of progress.
pub const CREATING_SECS: u64 = 120;
/// How long an agent may take to stop, start or remove a workspace.
pub const COMMAND_SECS: u64 = 120;
/// How long a stop may go unconfirmed, its command repeated, before it counts as done.
pub const STOPPING_SECS: u64 = 600;
/// How long machines with workspaces go on once a budget is spent: time for a warning and the save step.
pub const BUDGET_GRACE_SECS: u64 = 600;
/// How long a workspace's save hook may take before an end.
pub const SAVE_SECS: u64 = 60;
/// An agent that has not reached its control plane for so long ends everything and switches its machine off.
pub const DEAD_MAN_AFTER_SECS: u64 = 3600;
/// First pause after a failed attempt.
pub const BACKOFF_FIRST_SECS: u64 = 1;
/// Longest pause between attempts while the state's first deadline is ahead.
pub const BACKOFF_MAX_SECS: u64 = 60;

/// How long things take. One field for each constant above that an installation may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// [`REQUESTED_SECS`]
    pub requested: Duration,
    /// [`PROVISIONING_SECS`]
    pub provisioning: Duration,
    /// [`BOOTING_SECS`]
    pub booting: Duration,
    /// [`QUARANTINED_SECS`]
    pub quarantined: Duration,
    /// [`DESTROYING_SECS`]
    pub destroying: Duration,
    /// [`DESTROYING_MAX_SECS`]
    pub destroying_max: Duration,
    /// [`SETTLE_SECS`]
    pub settle: Duration,
    /// [`STRAY_SECS`]
    pub stray: Duration,
    /// [`SILENCE_SECS`]
    pub silence: Duration,
    /// [`IDLE_TIMEOUT_SECS`]
    pub idle_timeout: Duration,
    /// [`EPHEMERAL_LIFETIME_SECS`]
    pub ephemeral_lifetime: Duration,
    /// [`USER_LIFETIME_SECS`]
    pub user_lifetime: Duration,
    /// [`DEDICATED_LIFETIME_SECS`]
    pub dedicated_lifetime: Duration,
    /// [`CREATE_GRACE_SECS`]
    pub create_grace: Duration,
    /// [`PLACING_SECS`]
    pub placing: Duration,
    /// [`CREATING_SECS`]
    pub creating: Duration,
    /// [`CREATING_MAX_SECS`]
    pub creating_max: Duration,
    /// [`COMMAND_SECS`]
    pub command: Duration,
    /// [`STOPPING_SECS`]
    pub stopping: Duration,
    /// [`LEASE_MAX_SECS`]
    pub lease_max: Duration,
    /// [`BUDGET_GRACE_SECS`]
    pub budget_grace: Duration,
    /// [`SAVE_SECS`]
    pub save: Duration,
    /// [`DEAD_MAN_AFTER_SECS`]
    pub dead_man_after: Duration,
    /// [`BACKOFF_FIRST_SECS`]
    pub backoff_first: Duration,
    /// [`BACKOFF_MAX_SECS`]
    pub backoff_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            requested: secs(REQUESTED_SECS),
            provisioning: secs(PROVISIONING_SECS),
            booting: secs(BOOTING_SECS),
            quarantined: secs(QUARANTINED_SECS),
            destroying: secs(DESTROYING_SECS),
            destroying_max: secs(DESTROYING_MAX_SECS),
            settle: secs(SETTLE_SECS),
            stray: secs(STRAY_SECS),
            silence: secs(SILENCE_SECS),
            idle_timeout: secs(IDLE_TIMEOUT_SECS),
            ephemeral_lifetime: secs(EPHEMERAL_LIFETIME_SECS),
            user_lifetime: secs(USER_LIFETIME_SECS),
            dedicated_lifetime: secs(DEDICATED_LIFETIME_SECS),
            create_grace: secs(CREATE_GRACE_SECS),
            placing: secs(PLACING_SECS),
            creating: secs(CREATING_SECS),
            creating_max: secs(CREATING_MAX_SECS),
            command: secs(COMMAND_SECS),
            stopping: secs(STOPPING_SECS),
            lease_max: secs(LEASE_MAX_SECS),
            budget_grace: secs(BUDGET_GRACE_SECS),
            save: secs(SAVE_SECS),
            dead_man_after: secs(DEAD_MAN_AFTER_SECS),
            backoff_first: secs(BACKOFF_FIRST_SECS),
            backoff_max: secs(BACKOFF_MAX_SECS),
        }
    }
}

impl Timing {
    /// How long after its agent was last there a machine has certainly switched itself off: its dead-man switch, and as long again
    /// as a stop may go unconfirmed, for the save step and for clocks.
    pub fn off_after(&self) -> Duration {
        self.dead_man_after + self.stopping
    }

    /// The longest life of a node of that isolation. Nothing extends it.
    pub const fn lifetime(&self, isolation: Isolation) -> Duration {
        match isolation {
            Isolation::User => self.user_lifetime,
            Isolation::Ephemeral => self.ephemeral_lifetime,
            Isolation::Dedicated => self.dedicated_lifetime,
        }
    }
}

/// What a machine needs to know to decide beside its own state: values only, so that a decision can be replayed.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Now.
    pub now: UnixMillis,
    /// A random number that spreads retries.
    pub jitter: u32,
    /// How long things take.
    pub timing: &'a Timing,
}

impl Moment<'_> {
    /// When to try again after `failures` failures in a row: doubling pauses up to `longest`, each shortened by up to a half at random.
    pub fn backoff(&self, failures: u32, longest: Duration) -> UnixMillis {
        let doubled = self.timing.backoff_first.saturating_mul(1_u32 << failures.min(20));
        let pause = doubled.min(longest);
        let spread = pause / 2;
        let share = spread.saturating_mul(self.jitter % 1000) / 1000;
        self.now + (pause - share)
    }
}

/// A transition that a state does not allow. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It is being destroyed or gone, and nothing brings it back.
    Ending,
    /// It has not come so far.
    TooEarly,
    /// An observation that cannot be of the current state: late, repeated or out of order.
    Stale,
}

/// Declares the stable words for why something failed.
macro_rules! failures {
    ($($(#[$doc:meta])* $code:ident = $word:literal, $sentence:literal;)*) => {
        /// Why a node or workspace failed or ends. Stable words: they are in the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureCode { $($(#[$doc])* $code,)* }

        impl FailureCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];
            /// The stable word.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$code => $word),* } }
            /// The code in a sentence, for people.
            pub const fn sentence(self) -> &'static str { match self { $(Self::$code => $sentence),* } }
            /// The code of a stored word.
            pub fn parse(word: &str) -> Option<Self> { Self::ALL.iter().copied().find(|code| code.as_str() == word) }
        }
    };
}

failures! {
    /// The provider has no such machine free.
    Capacity = "capacity", "The provider has no machine of this size free there at the moment.";
    /// The account's limit is reached.
    Quota = "quota", "The account's limit at the provider is reached.";
    /// The key is refused.
    Auth = "auth", "The provider refused the credential.";
    /// The request is refused.
    Invalid = "invalid", "The provider refused the request.";
    /// Nothing was asked of the provider in time.
    RequestTimeout = "request_timeout", "The provider was not asked in time.";
    /// The provider made no machine in time.
    ProvisioningTimeout = "provisioning_timeout", "The provider did not make the machine in time.";
    /// The agent did not become ready in time.
    BootTimeout = "boot_timeout", "The machine was made, but its agent did not report ready in time.";
    /// A second key redeemed the bootstrap token.
    KeyConflict = "key_conflict", "Someone else tried to use the machine's one-time token, so it is not trusted any more.";
    /// Its owner asked.
    Deleted = "deleted", "Its owner deleted it.";
    /// Its machine could not be destroyed from here.
    Forgotten = "forgotten", "Its owner gave it up: its machine could not be destroyed from here, and may still exist at the provider and cost money. It is deleted if it is ever found.";
    /// No machines are made for the time being.
    ProvisioningPaused = "provisioning_paused", "An admin had paused the making of machines. Try again when it goes on.";
    /// Nobody used it.
    Idle = "idle", "It had no workspace for its idle time.";
    /// Its hard deadline has come.
    LifetimeOver = "lifetime_over", "Its longest life was over.";
    /// A budget is spent.
    BudgetSpent = "budget_spent", "A budget for this month is spent. An admin can raise it.";
    /// It was drained and is empty.
    Drained = "drained", "It was drained and its last workspace is gone.";
    /// Its machine is not there any more.
    MachineGone = "machine_gone", "Its provider does not have the machine any more: it was deleted there, not from here.";
    /// Its machine has switched itself off.
    AgentLost = "agent_lost", "Its agent was away for so long that its machine has switched itself off, and it had no workspace.";
    /// Its one workspace is gone.
    WorkspaceGone = "workspace_gone", "Its only workspace is gone.";
    /// The agent did not make the workspace in time.
    CreateTimeout = "create_timeout", "The agent did not make the workspace in time.";
    /// The agent could not make the workspace.
    AgentFailed = "agent_failed", "The agent could not make or keep the workspace.";
    /// The node of a workspace ended first.
    NodeLost = "node_lost", "Its node ended.";

    /// The firewall could not be loaded.
    FirewallFailed = "firewall_failed", "The machine's firewall could not be loaded, so it was never used. Create another workspace; if it happens again, the machine's image lacks iptables.";
    /// The agent could not be fetched.
    AgentFetchFailed = "agent_fetch_failed", "The machine could not fetch its agent from the control plane. Try again; if it stays so, the operator must publish the agent (cargo xtask build) and see that machines reach the control plane.";
    /// What was fetched is not the agent.
    AgentDigestMismatch = "agent_digest_mismatch", "What the machine fetched is not the agent that was pinned, so it was not run. Tell the operator: it is a broken deployment, or somebody on the way changed it.";
    /// The agent could not be started.
    AgentStartFailed = "agent_start_failed", "The machine's agent could not be started. The boot log says why; the operator can choose another machine image.";
    /// There is no container engine that answers.
    EngineUnavailable = "engine_unavailable", "The machine's container engine does not answer. Delete the node and create another; if it stays so, the operator should choose a machine image with an engine.";
    /// The container runtime is too old.
    EngineOutdated = "engine_outdated", "The machine's container runtime lacks security fixes that workspaces rely on, so it was not used. The operator must choose a machine image with a newer one.";
    /// What was measured is not what must hold.
    PostureFailed = "posture_failed", "The machine was measured, and what must hold did not, so it was not used. Its posture names the check that failed.";
    /// The firewall is gone and cannot be restored.
    FirewallLost = "firewall_lost", "The machine's firewall was gone and could not be restored, so it is not trusted any more. Create another workspace; nothing on this one comes back.";

    /// The engine refused.
    EngineRefused = "engine_refused", "The container engine refused to make it. The detail says why.";
    /// No such image.
    ImageNotFound = "image_not_found", "The registry has no such image. Check its name and tag, then create the workspace again.";
    /// The registry refuses.
    PullDenied = "pull_denied", "The registry does not let this image be pulled. Give a registry login that may, or choose another image.";
    /// The registry is at an address that no workspace may reach.
    RegistryForbidden = "registry_forbidden", "The image's registry is not one that this installation takes images from, or is at a private, link-local or metadata address, which nothing on a machine may reach. Choose an image of another registry.";
    /// The image could not be fetched.
    PullFailed = "pull_failed", "The image could not be fetched. Check that its registry can be reached, then try again.";
    /// There is no shell, or not the command.
    CommandNotFound = "command_not_found", "The image lacks the command that was to run in it. Choose an image with a shell (/bin/sh).";
    /// There is no such user in the image.
    UserNotFound = "user_not_found", "The user that devcontainer.json or the image names is not in the image. Correct remoteUser.";
    /// The repository could not be cloned.
    CloneFailed = "clone_failed", "The repository could not be cloned. Check its address and branch, that the image has git and that the workspace's network reaches it; a private one needs the secret `GIT_TOKEN`.";
    /// devcontainer.json asks too much.
    DevcontainerRefused = "devcontainer_refused", "devcontainer.json asks for what a workspace may not have, or cannot be read. Remove what the detail names.";
    /// postCreateCommand failed.
    PostCreateFailed = "post_create_failed", "postCreateCommand of devcontainer.json failed. Correct it, or leave it out.";
    /// Its memory limit was reached.
    OutOfMemory = "out_of_memory", "It ran out of memory. Create it again with a higher memory limit.";
    /// Its disk quota, or the disk, is full.
    DiskFull = "disk_full", "Its disk is full. Create it again with a larger disk.";
    /// The filtering proxy could not be started.
    ProxyUnavailable = "proxy_unavailable", "The proxy that filters its network could not be installed or started. Try again; if it stays so, delete the node.";
}

impl From<WorkspaceFailure> for FailureCode {
    fn from(failure: WorkspaceFailure) -> Self {
        match failure {
            WorkspaceFailure::EngineUnavailable => Self::EngineUnavailable,
            WorkspaceFailure::EngineRefused => Self::EngineRefused,
            WorkspaceFailure::ImageNotFound => Self::ImageNotFound,
            WorkspaceFailure::PullDenied => Self::PullDenied,
            WorkspaceFailure::RegistryForbidden => Self::RegistryForbidden,
            WorkspaceFailure::PullFailed => Self::PullFailed,
            WorkspaceFailure::CommandNotFound => Self::CommandNotFound,
            WorkspaceFailure::UserNotFound => Self::UserNotFound,
            WorkspaceFailure::CloneFailed => Self::CloneFailed,
            WorkspaceFailure::DevcontainerRefused => Self::DevcontainerRefused,
            WorkspaceFailure::PostCreateFailed => Self::PostCreateFailed,
            WorkspaceFailure::OutOfMemory => Self::OutOfMemory,
            WorkspaceFailure::DiskFull => Self::DiskFull,
            WorkspaceFailure::ProxyUnavailable => Self::ProxyUnavailable,
        }
    }
}

impl From<BootFailure> for FailureCode {
    fn from(failure: BootFailure) -> Self {
        match failure {
            BootFailure::FirewallFailed => Self::FirewallFailed,
            BootFailure::AgentFetchFailed => Self::AgentFetchFailed,
            BootFailure::AgentDigestMismatch => Self::AgentDigestMismatch,
            BootFailure::AgentStartFailed => Self::AgentStartFailed,
            BootFailure::EngineUnavailable => Self::EngineUnavailable,
            BootFailure::EngineOutdated => Self::EngineOutdated,
            BootFailure::PostureFailed => Self::PostureFailed,
        }
    }
}
