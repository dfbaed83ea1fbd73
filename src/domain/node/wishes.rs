//! What agents and owners tell a node. It is recorded, and nothing else: no call of the provider follows but through time.

use ringfence_protocol::state::NodePolicy;

use super::{Effect, Node, State, notice};
use crate::domain::lifecycle::{Denied, FailureCode, Moment};

impl Node {
    pub(super) fn agent_became_ready(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested => Err(Denied::TooEarly),
            // The agent may be quicker than the provider's answer about its machine.
            State::Provisioning { .. } => {
                self.agent_ready = true;
                Ok(Vec::new())
            }
            State::Booting => {
                self.agent_ready = true;
                Ok(self.enter_ready(at))
            }
            State::Ready { .. } => Ok(Vec::new()),
            State::Failed { .. } | State::Quarantined { .. } | State::Destroying { .. } | State::Gone { .. } => {
                Err(Denied::Ending)
            }
        }
    }

    pub(super) fn key_conflict(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested => Err(Denied::TooEarly),
            State::Provisioning { .. } | State::Booting | State::Ready { .. } => {
                self.agent_epoch = self.agent_epoch.saturating_add(1);
                let code = FailureCode::KeyConflict;
                let mut effects = self.enter(State::Quarantined { code }, Some(at.timing.quarantined), at);
                effects.push(Effect::CloseSockets);
                Ok(effects)
            }
            State::Failed { .. } | State::Quarantined { .. } | State::Destroying { .. } | State::Gone { .. } => {
                Ok(Vec::new())
            }
        }
    }

    pub(super) fn policy_requested(&mut self, policy: NodePolicy) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested | State::Provisioning { .. } | State::Booting | State::Ready { .. } => {
                if self.policy == policy {
                    return Ok(Vec::new());
                }
                self.policy = policy;
                Ok(vec![notice(match policy {
                    NodePolicy::Schedulable => "New workspaces may be placed here again.",
                    NodePolicy::Cordoned => "No new workspaces are placed here.",
                    NodePolicy::Draining => {
                        "No new workspaces are placed here; it is destroyed when the last one is gone."
                    }
                })])
            }
            State::Failed { .. } | State::Quarantined { .. } | State::Destroying { .. } | State::Gone { .. } => {
                Err(Denied::Ending)
            }
        }
    }

    pub(super) fn delete_requested(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        match self.state {
            State::Requested
            | State::Provisioning { .. }
            | State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. } => self.destroy(FailureCode::Deleted, at),
            State::Destroying { .. } | State::Gone { .. } => Vec::new(),
        }
    }
}
