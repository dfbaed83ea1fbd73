//! Where a node is, what it is alive for and what happens to it next, in words: nothing is billed that nobody can explain.

use ringfence_protocol::state::{Isolation, NodePolicy, NodeState};
use ringfence_protocol::time::UnixMillis;

use super::{Destroy, Link, Node, Provision, State};
use crate::domain::lifecycle::{FailureCode, Timing};

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
    /// The state in a sentence, for people.
    pub fn reason(&self) -> String {
        match self.state {
            State::Requested => "Waiting to be asked of the provider.".into(),
            State::Provisioning { next: Provision::Create } => "Asking the provider for the machine.".into(),
            State::Provisioning { next: Provision::Find } => "Waiting for the provider's machine.".into(),
            State::Booting if self.agent_ready => "Its agent runs; what must hold was not measured to hold yet.".into(),
            State::Booting => "The machine exists; its agent is starting.".into(),
            State::Ready { .. } if let Link::Down { since } = self.link => format!(
                "Its agent has been away since {since}, so it takes no workspaces. Without it the machine switches itself off, and may cost money until it is deleted."
            ),
            State::Ready { warm_since: None } => "Its agent is ready: it takes workspaces.".into(),
            State::Ready { warm_since: Some(_) } => "Has no workspace and waits for the next one.".into(),
            State::Failed { code } | State::Quarantined { code } => self.why(code),
            State::Destroying { code, .. } if self.key_refused => format!(
                "The provider refuses the credential, so the machine cannot be deleted: replace the key. {}",
                self.why(code)
            ),
            State::Destroying { code, next: Destroy::Save, .. } => {
                format!("About to be deleted: its workspaces save. {}", self.why(code))
            }
            State::Destroying { code, overdue: 0, .. } => format!("Being deleted at the provider. {}", self.why(code)),
            State::Destroying { code, .. } => {
                format!("The provider has not confirmed the deletion in time; still trying. {}", self.why(code))
            }
            State::Gone { code: FailureCode::Forgotten } => self.why(FailureCode::Forgotten),
            State::Gone { code } => format!("No machine is left. {}", self.why(code)),
        }
    }

    /// The code in a sentence, with what was seen.
    fn why(&self, code: FailureCode) -> String {
        explained(code, self.failure_detail.as_deref())
    }

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
            State::Destroying { next: Destroy::Save, .. } => {
                ("because its workspaces save; its machine is deleted then.".into(), self.next_attempt_at)
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

/// A failure in a sentence, with what was seen where somebody has said.
pub fn explained(code: FailureCode, detail: Option<&str>) -> String {
    match detail.map(str::trim).filter(|detail| !detail.is_empty()) {
        Some(detail) => format!("{} Seen: {detail}", code.sentence()),
        None => code.sentence().into(),
    }
}
