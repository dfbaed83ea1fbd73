//! What a node is alive for and what happens to it next, in words: nothing is billed that nobody can explain.

use ringfence_protocol::state::{Isolation, NodePolicy, NodeState};
use ringfence_protocol::time::UnixMillis;

use super::{Node, State};
use crate::domain::lifecycle::Timing;

/// Why something is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing<S> {
    /// In a sentence that begins with "because".
    pub because: String,
    /// Until when that holds by itself; none where an event ends it and not time.
    pub until: Option<UnixMillis>,
    /// What time alone will do to it next.
    pub next: Option<Next<S>>,
}

/// What time alone will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next<S> {
    /// The state that follows.
    pub to: S,
    /// When.
    pub at: UnixMillis,
    /// Why, in a sentence.
    pub why: String,
}

impl Node {
    /// Why it is still there, and what follows. None when nothing of it is left.
    pub fn standing(&self, timing: &Timing) -> Option<Standing<NodeState>> {
        let (because, until) = match self.state {
            State::Requested | State::Provisioning { .. } | State::Booting => (self.awaited(), self.deadline),
            State::Ready { warm_since: None } => (self.occupied(), None),
            State::Ready { warm_since: Some(_) } if self.kept_warm > 0 => (self.kept(), None),
            State::Ready { warm_since: Some(_) } => (self.warm(), self.deadline),
            State::Failed { .. } => {
                ("because it could not be made, and what there may be of it is cleaned up.".into(), None)
            }
            State::Quarantined { .. } => {
                ("because its owner may want to look at it; nothing runs on it any more.".into(), self.deadline)
            }
            State::Destroying { .. } => {
                ("because the provider has not confirmed yet that its machine is gone.".into(), None)
            }
            State::Gone { .. } => return None,
        };
        Some(Standing { because, until, next: self.next(timing) })
    }

    fn awaited(&self) -> String {
        match self.places_taken {
            0 => "because it is being made, to be kept for your next workspace.".into(),
            _ => "because it is being made for a workspace that waits for it.".into(),
        }
    }

    fn occupied(&self) -> String {
        let count = match self.places_taken {
            1 => "a workspace has".to_owned(),
            several => format!("{several} workspaces have"),
        };
        let then = match (self.isolation, self.policy) {
            (_, NodePolicy::Draining) | (Isolation::Ephemeral, _) => "it is destroyed with the last",
            (Isolation::User, _) => "it then waits a while for your next one",
            (Isolation::Dedicated, _) => "it is kept without one, too",
        };
        format!("because {count} a place on it; {then}.")
    }

    fn warm(&self) -> String {
        match self.isolation {
            Isolation::User | Isolation::Ephemeral if self.paid_period.is_some() => {
                "because it is kept for your next workspace as long as what its provider has billed is paid.".into()
            }
            Isolation::User | Isolation::Ephemeral => {
                "because it is kept for your next workspace, which then starts at once.".into()
            }
            Isolation::Dedicated => "because a dedicated machine is kept until you destroy it.".into(),
        }
    }

    fn kept(&self) -> String {
        let machines = match self.kept_warm {
            1 => "a machine".to_owned(),
            several => format!("{several} machines"),
        };
        format!("because you keep {machines} warm for your next workspace, whether or not you work.")
    }

    fn next(&self, timing: &Timing) -> Option<Next<NodeState>> {
        let next = |to, at, why: &str| Next { to, at, why: why.to_owned() };
        let at = self.deadline?;
        let off = self.off_at(timing).filter(|off| self.places_taken == 0 && *off < at);
        Some(match self.state {
            State::Requested => next(NodeState::Failed, at, "If the provider was not asked by then."),
            State::Provisioning { .. } => {
                next(NodeState::Failed, at, "If the provider has not made the machine by then.")
            }
            State::Booting => next(NodeState::Failed, at, "If its agent is not ready by then."),
            State::Ready { .. } if let Some(off) = off => {
                next(NodeState::Destroying, off, "If its agent stays away: its machine has switched itself off then.")
            }
            State::Ready { warm_since: Some(_) } if at < self.hard_deadline && self.kept_warm == 0 => {
                next(NodeState::Destroying, at, "If no workspace is created by then.")
            }
            State::Ready { .. } => {
                next(NodeState::Destroying, self.hard_deadline, "Its longest life is over then, whatever runs on it.")
            }
            State::Failed { .. } => next(NodeState::Destroying, at, "What there may be of it is deleted."),
            State::Quarantined { .. } => next(NodeState::Destroying, at, "Its time to be looked at is over then."),
            // Its end is the provider's word, which no clock gives.
            State::Destroying { .. } | State::Gone { .. } => return None,
        })
    }
}
