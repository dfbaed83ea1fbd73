//! The life of a node: one VM in a user's account.
//!
//! ```text
//!  Requested ──create──▶ Provisioning ──instance known──▶ Booting ──agent ready──▶ Ready
//!      │                     │                               │                     │ │
//!      │ deadline, pause     │ deadline, refusal,            │ deadline,           │ │ idle, drained, empty, agent lost,
//!      ▼                     ▼ pause, boot failed            ▼ boot failed         │ │ machine gone
//!    Failed ◀────────────────┴───────────────────────────────┘   key conflict,     │ │
//!      │                          Quarantined ◀────────────(from any of these)─────┘ │
//!      │ at once                      │ deadline                    firewall lost    │
//!      ▼                              ▼                                              │
//!  Destroying ◀── DELETE, from every state; lifetime, budget, nobody waits for it ───┘
//!      │ first, where workspaces run and their agent is there: they save, for a bounded time
//!      │ provider says 404, or never asked, or lists stayed empty for the settling time, or given up by its owner when stuck
//!      ▼
//!     Gone
//! ```
//!
//! Every step there is (tests read this list and see that there is each of these, and no other):
//!
//! ```text
//! requested    → provisioning failed destroying
//! provisioning → booting failed quarantined destroying
//! booting      → ready failed quarantined destroying
//! ready        → quarantined destroying
//! failed       → destroying
//! quarantined  → destroying
//! destroying   → gone
//! ```
//!
//! Invariants. A create call is recorded before it is made, and after it the next step is to look (`Find`), never to
//! create again blindly: a lost answer is found again. Every state but Gone has a deadline. Only a tick or the answer of
//! the provider asks for calls: what arrives from people or agents records its intent and nothing else. A node that runs
//! containers is Ready only once its agent has said so *and* what it has measured holds, whichever comes first.

use ringfence_protocol::state::{Isolation, NodePolicy, NodeState};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use super::lifecycle::{Denied, FailureCode, Moment, Timing};

/// How long a save step may take beyond its hooks: for the way there and back.
const SAVE_GRACE: std::time::Duration = std::time::Duration::from_secs(15);

mod answers;
mod events;
mod offers;
mod standing;
mod time;
mod wishes;

pub use events::{Call, CallError, Deletion, Effect, Event, Evidence, Instance, InstanceId};
pub use offers::{Offer, Offers};
pub use standing::{Next, Standing, explained};

/// Where a node is, with what belongs to that state alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// A row exists; nothing was asked of the provider.
    Requested,
    /// The provider is, or may be, making the machine.
    Provisioning {
        /// What to ask next.
        next: Provision,
    },
    /// The machine exists; its agent has not reported ready.
    Booting,
    /// The agent takes workspaces.
    Ready {
        /// Since when it has had no workspace.
        warm_since: Option<UnixMillis>,
    },
    /// It could not be made.
    Failed {
        /// Why.
        code: FailureCode,
    },
    /// Its agent is not trusted any more.
    Quarantined {
        /// Why.
        code: FailureCode,
    },
    /// The machine is being deleted.
    Destroying {
        /// Why.
        code: FailureCode,
        /// What to ask next.
        next: Destroy,
        /// How many of its deadlines have passed.
        overdue: u32,
    },
    /// No machine is left. Final.
    Gone {
        /// Why it was destroyed.
        code: FailureCode,
    },
}

/// What a provisioning node asks next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provision {
    /// Make the machine: none exists by what we know.
    Create,
    /// Look for it by its label: it may exist.
    Find,
}

/// What a node that is being destroyed asks next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destroy {
    /// Nothing yet: its workspaces save. Until then its agent and viewers stay connected.
    Save,
    /// Look for the machine by its label: we never learnt its id.
    Find,
    /// Delete it.
    Delete,
    /// See whether it is gone.
    Confirm,
}

/// A node. What it holds is what its row holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Where it is in its life.
    pub state: State,
    /// Since when.
    pub state_since: UnixMillis,
    /// When the state ends whatever happens; none only when gone.
    pub deadline: Option<UnixMillis>,
    /// When it is destroyed whatever happens.
    pub hard_deadline: UnixMillis,
    /// How it is shared.
    pub isolation: Isolation,
    /// What its owner wants of it.
    pub policy: NodePolicy,
    /// What may be ordered for it, in order.
    pub offers: Offers,
    /// What its provider bills at once, where it is to be kept warm for as long as that is paid.
    pub paid_period: Option<std::time::Duration>,
    /// The machine, once known.
    pub instance: Option<Instance>,
    /// One that its provider has deleted, while another may have been made: what it has cost counts.
    pub former: Option<InstanceId>,
    /// Create calls that were made, or recorded and perhaps not made.
    pub create_attempts: u32,
    /// When the first of them was recorded: costs count from then.
    pub first_create_at: Option<UnixMillis>,
    /// When the last of them was recorded.
    pub last_create_at: Option<UnixMillis>,
    /// When to ask the provider next.
    pub next_attempt_at: Option<UnixMillis>,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Whether the provider's last answer was that it refuses the key.
    pub key_refused: bool,
    /// Grows when the agent must lose its credentials.
    pub agent_epoch: i64,
    /// Whether the agent has said that it can take workspaces.
    pub agent_ready: bool,
    /// What is known of its posture.
    pub evidence: Evidence,
    /// What was seen when it failed or lost its trust, for people.
    pub failure_detail: Option<String>,
    /// Since when it is to end because a budget is spent. A wish, as the policy is; others write it.
    pub budget_spent_at: Option<UnixMillis>,
    /// Places that workspaces hold: counted when the row was read, never stored.
    pub places_taken: u32,
    /// How many machines its owner keeps warm, where this is one of them; 0 for any other. Counted when the row was read, never
    /// stored.
    pub kept_warm: u32,
    /// Whether its agent is there: an observation, read with the row and never stored by the machine.
    pub link: Link,
}

/// What is known of the agent's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// No agent has ever said hello.
    Never,
    /// It is up.
    Up,
    /// It is down.
    Down {
        /// Since when, as far as was seen.
        since: UnixMillis,
    },
}

impl Node {
    /// A node nobody has asked the provider for yet, with one place taken.
    pub fn requested(isolation: Isolation, evidence: Evidence, at: &Moment<'_>) -> Self {
        let hard_deadline = at.now + at.timing.lifetime(isolation);
        Self {
            state: State::Requested,
            state_since: at.now,
            deadline: Some((at.now + at.timing.requested).min(hard_deadline)),
            hard_deadline,
            isolation,
            policy: NodePolicy::Schedulable,
            offers: Offers::default(),
            paid_period: None,
            instance: None,
            former: None,
            create_attempts: 0,
            first_create_at: None,
            last_create_at: None,
            next_attempt_at: Some(at.now),
            failures: 0,
            key_refused: false,
            agent_epoch: 1,
            agent_ready: false,
            evidence,
            failure_detail: None,
            budget_spent_at: None,
            places_taken: 1,
            kept_warm: 0,
            link: Link::Never,
        }
    }

    /// The same with another longest life, from now on.
    #[must_use]
    pub fn living_at_most(mut self, lifetime: std::time::Duration, at: &Moment<'_>) -> Self {
        self.hard_deadline = at.now + lifetime;
        self.deadline = self.deadline.map(|deadline| deadline.min(self.hard_deadline));
        self
    }

    /// Applies what happened. On `Denied` nothing has changed.
    pub fn handle(&mut self, event: Event, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match event {
            Event::Tick => Ok(self.heed_budget(at).unwrap_or_else(|| self.tick(at))),
            Event::CreateAnswered(answer) => self.create_answered(answer, at),
            Event::FindAnswered(answer) => self.find_answered(answer, at),
            Event::GetAnswered(answer) => self.get_answered(answer, at),
            Event::DeleteAnswered(id, answer) => self.delete_answered(&id, answer, at),
            Event::Made { id, region, size } => self.made(&id, &region, &size),
            Event::MachineMissing => self.machine_missing(at),
            Event::AgentReady => self.agent_became_ready(at),
            Event::PostureMeasured(verdict) => self.posture_measured(verdict, at),
            Event::BootFailed { code, detail } => self.boot_failed(code, detail, at),
            Event::TrustLost { detail } => self.trust_lost(detail, at),
            Event::KeyConflict => self.key_conflict(at),
            Event::WorkspacesSaved => self.workspaces_saved(at),
            Event::PolicyRequested(policy) => self.policy_requested(policy),
            Event::DeleteRequested => Ok(self.delete_requested(at)),
            Event::ForgetRequested => self.forget_requested(at),
            Event::ProvisioningPaused => self.provisioning_paused(at),
        }
    }

    /// When its machine has certainly switched itself off, as it does without its control plane. None while its agent is there,
    /// or was never to be.
    pub fn off_at(&self, timing: &Timing) -> Option<UnixMillis> {
        match (self.state, self.link) {
            (State::Ready { .. }, Link::Down { since }) => Some(since + timing.off_after()),
            (State::Ready { .. }, Link::Never) => Some(self.state_since + timing.off_after()),
            (_, Link::Up | Link::Down { .. } | Link::Never) => None,
        }
    }

    /// When what is on it ends with it at the latest: its longest life, or that of its last step before it is deleted.
    pub fn ends_at(&self) -> UnixMillis {
        let saves = matches!(self.state, State::Destroying { next: Destroy::Save, .. });
        let saved_at = self.next_attempt_at.filter(|_| saves);
        saved_at.map_or(self.hard_deadline, |at| at.min(self.hard_deadline))
    }

    /// When to tick next, whatever else happens. None only when gone.
    pub fn poll_timeout(&self, timing: &Timing) -> Option<UnixMillis> {
        let work = match self.state {
            State::Requested | State::Provisioning { .. } | State::Destroying { .. } => self.next_attempt_at,
            State::Booting if self.may_take() || self.abandoned() => Some(self.state_since),
            State::Ready { .. } if self.abandoned() => Some(self.state_since),
            State::Ready { warm_since } if warm_since.is_none() == (self.places_taken == 0) => Some(self.state_since),
            State::Ready { .. } if self.places_taken == 0 => self.off_at(timing),
            State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Gone { .. } => None,
        };
        match (work, self.deadline) {
            (Some(work), Some(deadline)) => Some(work.min(deadline)),
            (work, deadline) => work.or(deadline),
        }
    }

    /// The state without its data.
    pub const fn word(&self) -> NodeState {
        match self.state {
            State::Requested => NodeState::Requested,
            State::Provisioning { .. } => NodeState::Provisioning,
            State::Booting => NodeState::Booting,
            State::Ready { .. } => NodeState::Ready,
            State::Failed { .. } => NodeState::Failed,
            State::Quarantined { .. } => NodeState::Quarantined,
            State::Destroying { .. } => NodeState::Destroying,
            State::Gone { .. } => NodeState::Gone,
        }
    }

    /// Why it failed, is quarantined or ends.
    pub const fn code(&self) -> Option<FailureCode> {
        match self.state {
            State::Failed { code }
            | State::Quarantined { code }
            | State::Destroying { code, .. }
            | State::Gone { code } => Some(code),
            State::Requested | State::Provisioning { .. } | State::Booting | State::Ready { .. } => None,
        }
    }

    /// A node that nobody waits for any more: it would never be given to another workspace, or its owner drains it.
    fn abandoned(&self) -> bool {
        self.places_taken == 0 && (self.isolation == Isolation::Ephemeral || self.policy == NodePolicy::Draining)
    }

    /// Whether its agent has said that it takes workspaces, and what was measured allows it.
    const fn may_take(&self) -> bool {
        self.agent_ready && self.evidence.suffices()
    }

    fn attempt_due(&self, at: &Moment<'_>) -> bool {
        self.next_attempt_at.is_none_or(|next| at.now >= next)
    }

    /// The machine, or the one that it had: what is billed is billed for one.
    pub fn machine(&self) -> Option<&InstanceId> {
        self.instance.as_ref().map(|instance| &instance.id).or(self.former.as_ref())
    }

    /// What it may come to cost an hour, while it is not known which machine is made.
    pub fn may_cost(&self) -> Option<i64> {
        match self.state {
            State::Requested | State::Provisioning { .. } => self.offers.dearest(),
            State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Destroying { .. }
            | State::Gone { .. } => None,
        }
    }

    /// Whether its deletion does not get on: it is late, or the key is refused.
    pub const fn is_stuck(&self) -> bool {
        match self.state {
            State::Destroying { overdue, .. } => overdue > 0 || self.key_refused,
            State::Requested
            | State::Provisioning { .. }
            | State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Gone { .. } => false,
        }
    }

    fn fail(&mut self, code: FailureCode, at: &Moment<'_>) -> Vec<Effect> {
        self.enter(State::Failed { code }, Some(std::time::Duration::ZERO), at)
    }

    fn enter_ready(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        let lifetime = self.hard_deadline.since(at.now);
        self.enter(State::Ready { warm_since: None }, Some(lifetime), at)
    }

    fn enter_gone(&mut self, code: FailureCode, at: &Moment<'_>) -> Vec<Effect> {
        self.enter(State::Gone { code }, None, at)
    }

    fn destroy(&mut self, code: FailureCode, at: &Moment<'_>) -> Vec<Effect> {
        let saves = matches!(self.state, State::Ready { .. }) && self.link == Link::Up && self.places_taken > 0;
        let state = State::Destroying { code, next: Destroy::Save, overdue: 0 };
        let mut effects = self.enter(state, Some(at.timing.destroying), at);
        if saves {
            // Whatever its agent answers, or does not.
            self.next_attempt_at = Some(at.now + at.timing.save + SAVE_GRACE);
        } else {
            effects.extend(self.begin_deletion(code, 0, at));
        }
        effects
    }

    /// From here on its agent and viewers have lost it, and the provider is asked.
    fn begin_deletion(&mut self, code: FailureCode, overdue: u32, at: &Moment<'_>) -> Vec<Effect> {
        self.agent_epoch = self.agent_epoch.saturating_add(1);
        let next = if self.instance.is_some() { Destroy::Delete } else { Destroy::Find };
        self.state = State::Destroying { code, next, overdue };
        self.next_attempt_at = Some(at.now);
        // Saving has taken nothing of the time that the deletion may take.
        self.deadline = Some(at.now + at.timing.destroying);
        vec![Effect::CloseSockets]
    }

    fn enter(&mut self, state: State, lasts: Option<std::time::Duration>, at: &Moment<'_>) -> Vec<Effect> {
        self.state = state;
        self.state_since = at.now;
        self.deadline = lasts.map(|lasts| at.now + lasts);
        self.next_attempt_at = match state {
            State::Requested | State::Provisioning { .. } | State::Destroying { .. } => Some(at.now),
            State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Gone { .. } => None,
        };
        self.failures = 0;
        self.key_refused = false;
        vec![Effect::Record(self.as_event())]
    }

    /// The state it is in, as an event to be recorded.
    pub fn as_event(&self) -> EventKind {
        EventKind::NodeState { state: self.word(), detail: self.reason() }
    }
}

fn notice(detail: &str) -> Effect {
    Effect::Record(EventKind::Notice { detail: detail.into() })
}
