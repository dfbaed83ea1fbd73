//! A node's row, read into the machine it stands for.

use ringfence_protocol::ids::{CredentialId, NodeId, TenantId, UserId};
use ringfence_protocol::link::Facts;
use ringfence_protocol::state::{EngineChoice, EngineKind, Isolation, NodeHealth, NodePolicy, NodeState, ProviderKind};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::domain::lifecycle::FailureCode;
use crate::domain::node::{Destroy, Evidence, Instance, InstanceId, Link, Node, Offers, Provision, State};
use crate::domain::placement::Candidate;
use crate::domain::seal::Sealed;

/// A node, as its row holds it.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeRow {
    /// Names it.
    pub id: NodeId,
    /// Whose it is.
    pub user_id: UserId,
    /// The owner's tenant.
    pub tenant_id: TenantId,
    /// Counter of changes of its state.
    pub row_version: i64,
    /// When it was asked for.
    pub created_at_ms: i64,
    /// Which installation's machine it is.
    pub installation: String,
    /// Whose machine it is.
    pub provider: ProviderKind,
    /// With which key.
    pub credential_id: CredentialId,
    /// How it is shared.
    pub isolation: Isolation,
    /// Where.
    pub region: String,
    /// Which machine.
    pub size: String,
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// What it boots.
    pub image: String,
    /// What it costs.
    pub price_micros_per_hour: i64,
    /// In which currency.
    pub currency: String,
    /// Places for workspaces.
    pub slots: u32,
    /// Places that are taken.
    pub places_taken: u32,
    kept_warm: Option<u32>,
    /// Its disk; none for a node from before that was recorded.
    pub disk_bytes: Option<u64>,
    /// What workspaces on it are to be run with; none for a node from before there was a choice: unconfined.
    engine_choice: Option<EngineChoice>,
    /// What runs workspaces on it, once its agent has said.
    pub engine: Option<EngineKind>,
    /// The agent's version, once it has said.
    pub agent_version: Option<String>,
    /// Since when its link is up; none when it is down.
    pub connected_at_ms: Option<i64>,
    /// When its agent last said hello.
    pub last_hello_at_ms: Option<i64>,
    disconnected_at_ms: Option<i64>,
    /// The newest figures of the machine.
    pub facts_json: Option<String>,
    /// The sealed credential, none if that was deleted.
    sealed_secret: Option<String>,
    seal_version: Option<i64>,
    cpu_percent: Option<f64>,
    memory_percent: Option<f64>,
    hard_deadline_at_ms: i64,
    policy: NodePolicy,
    state: NodeState,
    step: Option<String>,
    /// Since when it is in its state.
    pub state_since_ms: i64,
    deadline_at_ms: Option<i64>,
    failure: Option<String>,
    overdue: u32,
    warm_since_ms: Option<i64>,
    provider_instance_id: Option<String>,
    former_instance_id: Option<String>,
    ipv4: Option<String>,
    ipv6: Option<String>,
    create_attempts: u32,
    first_create_attempt_at_ms: Option<i64>,
    last_create_attempt_at_ms: Option<i64>,
    next_attempt_at_ms: Option<i64>,
    attempt_failures: u32,
    agent_epoch: i64,
    agent_ready: i64,
    failure_detail: Option<String>,
    posture_epoch: Option<i64>,
    posture_holds: Option<i64>,
    budget_spent_at_ms: Option<i64>,
    offers_json: Option<String>,
    offer_index: usize,
    key_refused: i64,
    paid_period_secs: Option<u64>,
}

impl NodeRow {
    /// The machine of this row.
    pub fn node(&self) -> Node {
        let millis = |at: Option<i64>| at.map(UnixMillis::new);
        Node {
            state: self.state(),
            state_since: UnixMillis::new(self.state_since_ms),
            deadline: millis(self.deadline_at_ms),
            hard_deadline: UnixMillis::new(self.hard_deadline_at_ms),
            isolation: self.isolation,
            policy: self.policy,
            offers: self.offers(),
            paid_period: self.paid_period_secs.map(std::time::Duration::from_secs),
            instance: self.provider_instance_id.clone().map(|id| Instance {
                id: InstanceId(id),
                ipv4: self.ipv4.clone(),
                ipv6: self.ipv6.clone(),
            }),
            former: self.former_instance_id.clone().map(InstanceId),
            create_attempts: self.create_attempts,
            first_create_at: millis(self.first_create_attempt_at_ms),
            last_create_at: millis(self.last_create_attempt_at_ms),
            next_attempt_at: millis(self.next_attempt_at_ms),
            failures: self.attempt_failures,
            key_refused: self.key_refused != 0,
            agent_epoch: self.agent_epoch,
            agent_ready: self.agent_ready != 0,
            evidence: self.evidence(),
            failure_detail: self.failure_detail.clone(),
            budget_spent_at: millis(self.budget_spent_at_ms),
            places_taken: self.places_taken,
            kept_warm: self.kept_warm.unwrap_or(0),
            link: self.link(),
        }
    }

    /// The machine of this row, with what is never stored as in `other`: to compare the two.
    pub fn node_like(&self, other: &Node) -> Node {
        Node { places_taken: other.places_taken, kept_warm: other.kept_warm, link: other.link, ..self.node() }
    }

    fn link(&self) -> Link {
        match (self.connected_at_ms, self.last_hello_at_ms) {
            (Some(_), _) => Link::Up,
            (None, None) => Link::Never,
            // What was seen of an earlier link says nothing of the newest.
            (None, Some(hello)) => {
                Link::Down { since: UnixMillis::new(self.disconnected_at_ms.unwrap_or(hello).max(hello)) }
            }
        }
    }

    fn state(&self) -> State {
        // A word of a later version: the safest reading is the one that looks before it acts.
        let code = self.failure.as_deref().and_then(FailureCode::parse).unwrap_or(FailureCode::Invalid);
        let step = self.step.as_deref();
        match self.state {
            NodeState::Requested => State::Requested,
            NodeState::Provisioning => {
                State::Provisioning { next: if step == Some("create") { Provision::Create } else { Provision::Find } }
            }
            NodeState::Booting => State::Booting,
            NodeState::Ready => State::Ready { warm_since: self.warm_since_ms.map(UnixMillis::new) },
            NodeState::Failed => State::Failed { code },
            NodeState::Quarantined => State::Quarantined { code },
            NodeState::Destroying => State::Destroying {
                code,
                next: match step {
                    Some("save") => Destroy::Save,
                    Some("delete") => Destroy::Delete,
                    Some("confirm") => Destroy::Confirm,
                    Some(_) | None => Destroy::Find,
                },
                overdue: self.overdue,
            },
            NodeState::Gone => State::Gone { code },
        }
    }

    fn offers(&self) -> Offers {
        let list = self.offers_json.as_deref().and_then(|json| serde_json::from_str(json).ok());
        Offers::new(list.unwrap_or_default(), self.offer_index)
    }

    /// What workspaces on it are to be run with.
    pub fn engine_choice(&self) -> EngineChoice {
        self.engine_choice.unwrap_or(EngineChoice::Unconfined)
    }

    /// What is known of its posture. What an agent of an earlier epoch has measured counts for nothing.
    fn evidence(&self) -> Evidence {
        match (self.engine_choice(), self.posture_epoch == Some(self.agent_epoch), self.posture_holds) {
            (EngineChoice::Unconfined, _, _) => Evidence::NotNeeded,
            (EngineChoice::Containers, false, _) | (EngineChoice::Containers, true, None) => Evidence::Missing,
            (EngineChoice::Containers, true, Some(0)) => Evidence::Broken,
            (EngineChoice::Containers, true, Some(_)) => Evidence::Holds,
        }
    }

    /// The sealed credential; none if it was deleted.
    pub fn sealed(&self) -> Option<Sealed> {
        Some(Sealed { version: self.seal_version?, text: self.sealed_secret.clone()? })
    }

    /// What we infer from its link.
    pub fn health(&self) -> NodeHealth {
        match (self.connected_at_ms, self.last_hello_at_ms) {
            (Some(_), _) => NodeHealth::Connected,
            (None, Some(_)) => NodeHealth::Disconnected,
            (None, None) => NodeHealth::Unknown,
        }
    }

    /// The newest figures of the machine.
    pub fn facts(&self) -> Option<Facts> {
        serde_json::from_str(self.facts_json.as_deref()?).ok()
    }

    /// This node as a place for a workspace.
    pub fn candidate(&self) -> Candidate {
        Candidate {
            id: self.id,
            user_id: self.user_id,
            tenant_id: self.tenant_id,
            provider: self.provider,
            credential_id: self.credential_id,
            isolation: self.isolation,
            state: self.state,
            policy: self.policy,
            health: self.health(),
            region: self.region.clone(),
            cpus: self.cpus,
            memory_bytes: self.memory_bytes,
            disk_bytes: self.disk_bytes,
            engine: self.engine_choice(),
            evidence: self.evidence(),
            price_micros_per_hour: self.price_micros_per_hour,
            slots: self.slots,
            places_taken: self.places_taken,
            ends_at: UnixMillis::new(self.hard_deadline_at_ms),
            is_unpaid: self.budget_spent_at_ms.is_some(),
            cpu_percent: self.cpu_percent,
            memory_percent: self.memory_percent,
        }
    }
}

/// What a new node is asked to be.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Names it.
    pub id: NodeId,
    /// Whose it is.
    pub user_id: UserId,
    /// The owner's tenant.
    pub tenant_id: TenantId,
    /// Which installation's.
    pub installation: String,
    /// Whose machine.
    pub provider: ProviderKind,
    /// With which key.
    pub credential_id: CredentialId,
    /// Where.
    pub region: String,
    /// Which machine.
    pub size: String,
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its disk.
    pub disk_bytes: u64,
    /// What it boots.
    pub image: String,
    /// What workspaces on it are to be run with.
    pub engine_choice: EngineChoice,
    /// What it costs.
    pub price_micros_per_hour: i64,
    /// In which currency.
    pub currency: String,
    /// Places for workspaces.
    pub slots: u32,
}
