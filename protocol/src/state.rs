//! The words for states, policies and modes, shared by the API, the database and the link.

use std::fmt;

use crate::words::words;

/// A word that names no value of the enum asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWord;

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown word")
    }
}
impl std::error::Error for UnknownWord {}

words! {
    /// Where a node is in its life.
    NodeState {
        /// A row exists; nothing was asked of the provider.
        Requested = "requested",
        /// The provider is, or may be, making the machine.
        Provisioning = "provisioning",
        /// The machine exists; its agent has not reported ready.
        Booting = "booting",
        /// The agent is ready to take workspaces.
        Ready = "ready",
        /// The machine is being deleted at the provider.
        Destroying = "destroying",
        /// The provider has confirmed that no machine is left. Final.
        Gone = "gone",
        /// It could not be made; leads only to Destroying.
        Failed = "failed",
        /// Its agent is no longer trusted; leads only to Destroying.
        Quarantined = "quarantined",
    }
    /// Where a workspace is in its life.
    WorkspaceState {
        /// Accepted, with a place on a node.
        Requested = "requested",
        /// Waiting for its node to be ready.
        Placing = "placing",
        /// The agent was asked to make it.
        Creating = "creating",
        /// It runs.
        Running = "running",
        /// It does not run; its volumes are kept.
        Stopped = "stopped",
        /// The agent was asked to remove it.
        Deleting = "deleting",
        /// Nothing of it is left. Final.
        Gone = "gone",
        /// It could not be made or was lost with its node.
        Failed = "failed",
    }
    /// How a node is shared.
    Isolation {
        /// Several workspaces of one user.
        User = "user",
        /// One workspace, then destroyed.
        Ephemeral = "ephemeral",
        /// One long-lived VM of a user.
        Dedicated = "dedicated",
    }
    /// What the operator wants of a node.
    NodePolicy {
        /// New workspaces may be placed on it.
        Schedulable = "schedulable",
        /// No new workspaces; those on it stay.
        Cordoned = "cordoned",
        /// No new workspaces; it is destroyed when the last one is gone.
        Draining = "draining",
    }
    /// What we infer of a node from its link.
    NodeHealth {
        /// The agent has never reported.
        Unknown = "unknown",
        /// The link is up.
        Connected = "connected",
        /// The link is down.
        Disconnected = "disconnected",
    }
    /// The cloud a credential is for.
    ProviderKind {
        /// Hetzner Cloud.
        Hetzner = "hetzner",
    }
    /// What runs workspaces on a node, as its agent found it.
    EngineKind {
        /// Plain processes, no isolation at all. Only where the configuration asks for it in words.
        Unconfined = "unconfined",
        /// Containers, by Podman.
        Podman = "podman",
        /// Containers, by Docker.
        Docker = "docker",
    }
    /// What an installation runs workspaces with.
    EngineChoice {
        /// A hardened container each, by whichever engine the machine has.
        Containers = "containers",
        /// Plain processes without any isolation: for a first look on one's own computer.
        Unconfined = "unconfined",
    }
    /// What a workspace reaches over the network. Metadata services, private ranges and other workspaces: never.
    NetworkMode {
        /// Nothing.
        None = "none",
        /// The domains of its allow-list, through a filtering proxy.
        Restricted = "restricted",
        /// The internet.
        Internet = "internet",
    }
    /// Why an agent could not make or keep a workspace.
    WorkspaceFailure {
        /// The machine's engine does not answer.
        EngineUnavailable = "engine_unavailable",
        /// The engine refused, for a reason that has no code of its own: the detail says it.
        EngineRefused = "engine_refused",
        /// The registry has no such image.
        ImageNotFound = "image_not_found",
        /// The registry wants other credentials, or any.
        PullDenied = "pull_denied",
        /// The registry is inside the machine's own network, or not one that the installation takes images from.
        RegistryForbidden = "registry_forbidden",
        /// The image could not be fetched: the registry cannot be reached, or its answer cannot be used.
        PullFailed = "pull_failed",
        /// The image has no shell, or not the command that was asked for.
        CommandNotFound = "command_not_found",
        /// The user that `devcontainer.json` or the image names is not in the image.
        UserNotFound = "user_not_found",
        /// The repository could not be cloned.
        CloneFailed = "clone_failed",
        /// `devcontainer.json` asks for what a workspace may not have, or cannot be read.
        DevcontainerRefused = "devcontainer_refused",
        /// `postCreateCommand` failed.
        PostCreateFailed = "post_create_failed",
        /// Its memory limit was reached.
        OutOfMemory = "out_of_memory",
        /// Its disk quota, or the machine's disk, is full.
        DiskFull = "disk_full",
        /// The filtering proxy of a restricted network could not be started.
        ProxyUnavailable = "proxy_unavailable",
    }
    /// Why a machine never got ready.
    BootFailure {
        /// The firewall could not be loaded. The machine powers off.
        FirewallFailed = "firewall_failed",
        /// The agent's binary could not be fetched.
        AgentFetchFailed = "agent_fetch_failed",
        /// What was fetched is not the binary that user-data names.
        AgentDigestMismatch = "agent_digest_mismatch",
        /// The agent's service could not be started.
        AgentStartFailed = "agent_start_failed",
        /// There is no container engine, and none could be installed.
        EngineUnavailable = "engine_unavailable",
        /// The container runtime is older than the fixes that matter.
        EngineOutdated = "engine_outdated",
        /// What was measured is not what must hold.
        PostureFailed = "posture_failed",
    }
    /// What came of measuring one thing.
    PostureOutcome {
        /// As it must be.
        Pass = "pass",
        /// Not as it must be.
        Fail = "fail",
        /// It could not be measured.
        Unknown = "unknown",
    }
    /// What shows that a workspace is used. Heartbeats, open tabs, polls and measurements never do.
    ActivityCause {
        /// It was started.
        Started = "started",
        /// Somebody typed into a terminal.
        TerminalInput = "terminal_input",
        /// A terminal put something out while somebody looked.
        TerminalOutput = "terminal_output",
        /// A process works: it uses processor time.
        Process = "process",
        /// The assistant is at its turn.
        Assistant = "assistant",
        /// Something in it has asked that it be kept awake, until a given time.
        KeepAwake = "keep_awake",
    }
    /// Why a workspace will next end by itself.
    EndingCause {
        /// Nobody uses it: it will be stopped.
        Idle = "idle",
        /// It is stopped, and its time to be kept runs out: it will be deleted.
        KeepOver = "keep_over",
        /// The longest life of its node runs out: it will be destroyed with it.
        LifetimeOver = "lifetime_over",
        /// Its node's agent is away: the machine switches itself off without its control plane, and it counts as stopped then.
        AgentAway = "agent_away",
    }
    /// What came of a workspace's save hook.
    SaveOutcome {
        /// It ended well.
        Saved = "saved",
        /// It ended with another code than 0, or could not be run.
        Failed = "failed",
        /// It took longer than it may, and was ended.
        TimedOut = "timed_out",
    }
    /// What a token allows in a workspace.
    Permission {
        /// Look at terminals.
        TerminalRead = "terminal:read",
        /// Type into terminals.
        TerminalWrite = "terminal:write",
    }
    /// What a user may do beyond their own things.
    Role {
        /// Nothing.
        Member = "member",
        /// See the users of their tenant, what those have and what it costs.
        TenantAdmin = "tenant_admin",
        /// Manage users, tenants and limits, and read the audit log.
        Admin = "admin",
    }
    /// For whom a limit holds.
    LimitScope {
        /// One user.
        User = "user",
        /// All users of a tenant together.
        Tenant = "tenant",
        /// Everybody together.
        Installation = "installation",
    }
    /// A quota of the platform's free plan, for a day.
    QuotaKind {
        /// Requests to the Worker.
        Requests = "requests",
        /// Requests to Durable Objects: calls, alarms, and twenty incoming messages as one.
        ObjectRequests = "object_requests",
        /// Rows the database reads.
        RowsRead = "rows_read",
        /// Rows the database writes.
        RowsWritten = "rows_written",
        /// How long Durable Objects are at work, in GB-seconds: an object counts as 128 MB.
        ObjectDuration = "object_duration",
        /// Rows of their own storage that Durable Objects write; setting an alarm is one.
        ObjectRowsWritten = "object_rows_written",
    }
    /// What a limit is a limit of.
    LimitMeasure {
        /// Machines that are not known to be gone.
        Nodes = "nodes",
        /// Workspaces that hold a place on a machine.
        Workspaces = "workspaces",
        /// Ephemeral workspaces: their machines, until they are known to be gone.
        EphemeralWorkspaces = "ephemeral_workspaces",
        /// What machines cost an hour.
        CostPerHour = "cost_per_hour",
        /// What was spent in this calendar month (UTC).
        CostPerMonth = "cost_per_month",
    }
    /// Whether a user may act at all.
    UserState {
        /// They may.
        Active = "active",
        /// They may not; their sessions and tokens open nothing.
        Suspended = "suspended",
    }
}
