//! Where a new workspace goes: one pure function over the user's nodes.
//!
//! The rule that a node is one user's alone is enforced here, in the query that gives the candidates, in the statement
//! that claims a place and in the schema, each by itself (I1).

use std::time::Duration;

use ringfence_protocol::ids::{CredentialId, NodeId, TenantId, UserId};
use ringfence_protocol::state::{EngineChoice, Isolation, NodeHealth, NodePolicy, NodeState, ProviderKind};
use ringfence_protocol::time::UnixMillis;

use super::lifecycle::Timing;
use super::node::Evidence;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Who asks.
    pub user_id: UserId,
    /// Their tenant.
    pub tenant_id: TenantId,
    /// Which cloud.
    pub provider: ProviderKind,
    /// With which key.
    pub credential_id: CredentialId,
    /// How the node may be shared.
    pub isolation: Isolation,
    /// Where.
    pub region: String,
    /// At least that many processors.
    pub cpus: u32,
    /// At least that much memory.
    pub memory_bytes: u64,
    /// At least that much disk.
    pub disk_bytes: u64,
    /// What it is to be run with.
    pub engine: EngineChoice,
    /// Until when its node has to live at least.
    pub lives_until: UnixMillis,
}

/// How long a shared node has to live still that takes a workspace: a day's work, and as long as a stopped one is usually kept.
const PLACED_FOR: Duration = Duration::from_secs(24 * 3600);
/// The same of a dedicated one, in whose place no other may be made: long enough for its warnings, and then some work.
const PLACED_ON_DEDICATED_FOR: Duration = Duration::from_secs(30 * 60);

/// Until when a node has to live at least that takes a workspace now; or a quarter of what such nodes live at all.
pub fn lives_until(timing: &Timing, isolation: Isolation, now: UnixMillis) -> UnixMillis {
    let usual = match isolation {
        Isolation::User | Isolation::Ephemeral => PLACED_FOR,
        Isolation::Dedicated => PLACED_ON_DEDICATED_FOR,
    };
    now + usual.min(timing.lifetime(isolation) / 4)
}

/// A node that might take it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which.
    pub id: NodeId,
    /// Whose.
    pub user_id: UserId,
    /// Of which tenant.
    pub tenant_id: TenantId,
    /// Whose machine.
    pub provider: ProviderKind,
    /// With which key.
    pub credential_id: CredentialId,
    /// How it is shared.
    pub isolation: Isolation,
    /// Where it is in its life.
    pub state: NodeState,
    /// What its owner wants of it.
    pub policy: NodePolicy,
    /// What we infer from its link.
    pub health: NodeHealth,
    /// Where it stands.
    pub region: String,
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its disk, where that is known.
    pub disk_bytes: Option<u64>,
    /// What it runs workspaces with.
    pub engine: EngineChoice,
    /// Whether it was measured to be as it must be.
    pub evidence: Evidence,
    /// Its price, to prefer the cheaper of two.
    pub price_micros_per_hour: i64,
    /// Its places.
    pub slots: u32,
    /// Those taken.
    pub places_taken: u32,
    /// When it is destroyed whatever happens.
    pub ends_at: UnixMillis,
    /// Whether it ends because a budget is spent.
    pub is_unpaid: bool,
    /// Share of its processors in use, in percent of the whole machine, once measured.
    pub cpu_percent: Option<f64>,
    /// Share of its memory in use, in percent, once measured.
    pub memory_percent: Option<f64>,
}

/// From which load on a node gets no further workspace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Processors, in percent.
    pub cpu_percent: f64,
    /// Memory, in percent.
    pub memory_percent: f64,
}

/// The answer, with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The node to claim a place on; none when a new one is to be made.
    pub node: Option<NodeId>,
    /// Why, for the workspace's owner.
    pub explanation: String,
}

/// Why a candidate cannot take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unfit {
    /// It is another user's or tenant's. Never explained to anybody.
    NotYours,
    /// Another cloud or key.
    OtherCloud,
    /// Another isolation was asked for.
    OtherIsolation,
    /// It runs workspaces with another engine, or without any.
    OtherEngine,
    /// It takes one workspace in its life.
    SingleUse,
    /// It is not ready.
    NotReady,
    /// It is cordoned or draining.
    NotSchedulable,
    /// Its agent is not connected.
    Unhealthy,
    /// What was measured of it is not what must hold.
    Unproven,
    /// Its longest life is over soon, or a budget is spent.
    EndsSoon,
    /// It is smaller than asked.
    TooSmall,
    /// All its places are taken.
    Full,
    /// Its processors or memory are busy.
    Busy,
}

impl Unfit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NotYours => "not available",
            Self::OtherCloud => "of another cloud account",
            Self::OtherIsolation => "of another isolation",
            Self::OtherEngine => "of another kind of isolation",
            Self::SingleUse => "for one workspace only",
            Self::NotReady => "not ready",
            Self::NotSchedulable => "cordoned or draining",
            Self::Unhealthy => "not connected",
            Self::Unproven => "not measured to be as it must be",
            Self::EndsSoon => "about to end",
            Self::TooSmall => "too small",
            Self::Full => "full",
            Self::Busy => "too busy",
        }
    }
}

/// Chooses: warm in the same region, then busy with room, then warm elsewhere, then a new node. Ties: the same region, the
/// cheaper, the fuller (so that others can empty), the id.
pub fn choose(wish: &Wish, candidates: &[Candidate], limits: Thresholds) -> Placement {
    let best = candidates.iter().filter(|candidate| unfit(wish, candidate, limits).is_none()).min_by_key(|candidate| {
        let elsewhere = candidate.region != wish.region;
        let free = candidate.slots.saturating_sub(candidate.places_taken);
        (rank(wish, candidate), elsewhere, candidate.price_micros_per_hour, free, candidate.id)
    });
    match best {
        Some(candidate) => Placement { node: Some(candidate.id), explanation: chosen(wish, candidate) },
        None => Placement { node: None, explanation: none_fits(wish, candidates, limits) },
    }
}

/// Why this candidate cannot take it; `None` when it can.
pub fn unfit(wish: &Wish, candidate: &Candidate, limits: Thresholds) -> Option<Unfit> {
    let over = |measured: Option<f64>, limit: f64| measured.is_some_and(|percent| percent >= limit);
    if candidate.user_id != wish.user_id || candidate.tenant_id != wish.tenant_id {
        Some(Unfit::NotYours)
    } else if candidate.provider != wish.provider || candidate.credential_id != wish.credential_id {
        Some(Unfit::OtherCloud)
    } else if candidate.isolation != wish.isolation {
        Some(Unfit::OtherIsolation)
    } else if candidate.engine != wish.engine {
        Some(Unfit::OtherEngine)
    } else if candidate.isolation == Isolation::Ephemeral {
        Some(Unfit::SingleUse)
    } else if candidate.state != NodeState::Ready && !on_its_way(candidate) {
        Some(Unfit::NotReady)
    } else if candidate.policy != NodePolicy::Schedulable {
        Some(Unfit::NotSchedulable)
    } else if candidate.state == NodeState::Ready && candidate.health != NodeHealth::Connected {
        Some(Unfit::Unhealthy)
    } else if candidate.state == NodeState::Ready && !candidate.evidence.suffices() {
        Some(Unfit::Unproven)
    } else if candidate.ends_at < wish.lives_until || candidate.is_unpaid {
        Some(Unfit::EndsSoon)
    } else if candidate.cpus < wish.cpus
        || candidate.memory_bytes < wish.memory_bytes
        || candidate.disk_bytes.is_some_and(|disk| disk < wish.disk_bytes)
    {
        Some(Unfit::TooSmall)
    } else if candidate.places_taken >= candidate.slots {
        Some(Unfit::Full)
    } else if over(candidate.cpu_percent, limits.cpu_percent) || over(candidate.memory_percent, limits.memory_percent) {
        Some(Unfit::Busy)
    } else {
        None
    }
}

/// A user has one dedicated node: what is asked for while it is made waits for it.
const fn on_its_way(candidate: &Candidate) -> bool {
    match (candidate.isolation, candidate.state) {
        (Isolation::Dedicated, NodeState::Requested | NodeState::Provisioning | NodeState::Booting) => true,
        (
            Isolation::Dedicated,
            NodeState::Ready | NodeState::Destroying | NodeState::Gone | NodeState::Failed | NodeState::Quarantined,
        )
        | (Isolation::User | Isolation::Ephemeral, _) => false,
    }
}

fn rank(wish: &Wish, candidate: &Candidate) -> u8 {
    match (candidate.places_taken == 0, candidate.region == wish.region) {
        (true, true) => 0,
        (false, _) => 1,
        (true, false) => 2,
    }
}

fn chosen(wish: &Wish, candidate: &Candidate) -> String {
    let Candidate { id, places_taken, slots, ends_at, .. } = candidate;
    let place = if candidate.region == wish.region { "in the same region" } else { "in another region" };
    let which = if candidate.isolation == Isolation::Dedicated {
        format!("Your dedicated node {id}: {places_taken} of {slots} places were taken.")
    } else if *places_taken == 0 {
        format!("Your node {id} was warm {place}.")
    } else {
        format!("Your node {id} {place} had room: {places_taken} of {slots} places taken.")
    };
    format!("{which} It lives until {ends_at} at the latest.")
}

fn none_fits(wish: &Wish, candidates: &[Candidate], limits: Thresholds) -> String {
    let mut reasons: Vec<(NodeId, Unfit)> = candidates
        .iter()
        .filter_map(|candidate| Some((candidate.id, unfit(wish, candidate, limits)?)))
        .filter(|(_, reason)| *reason != Unfit::NotYours)
        .collect();
    reasons.sort();
    if reasons.is_empty() {
        return match wish.isolation {
            Isolation::User => "A new node: you had none that could take it.".into(),
            Isolation::Ephemeral => "A new node: an ephemeral workspace has one of its own.".into(),
            Isolation::Dedicated => "A new node: you had no dedicated one.".into(),
        };
    }
    let list: Vec<String> = reasons.iter().map(|(id, reason)| format!("{id} is {}", reason.as_str())).collect();
    format!("A new node: {}.", list.join(", "))
}
