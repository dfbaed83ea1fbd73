//! What agents and owners tell a node. It is recorded, and nothing else: no call of the provider follows but through time.

use ringfence_protocol::state::NodePolicy;

use super::{Destroy, Effect, Evidence, Node, Provision, State, notice};
use crate::domain::lifecycle::{Denied, FailureCode, Moment};
use crate::domain::posture::Verdict;

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
                Ok(if self.may_take() { self.enter_ready(at) } else { Vec::new() })
            }
            State::Ready { .. } | State::Destroying { next: Destroy::Save, .. } => Ok(Vec::new()),
            State::Failed { .. } | State::Quarantined { .. } | State::Destroying { .. } | State::Gone { .. } => {
                Err(Denied::Ending)
            }
        }
    }

    pub(super) fn posture_measured(&mut self, verdict: Verdict, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        let known = self.evidence;
        let measured = match (known, verdict) {
            // Nothing is claimed of such a node, whatever its agent measures.
            (Evidence::NotNeeded, _) => Evidence::NotNeeded,
            (_, Verdict::Holds) => Evidence::Holds,
            (_, Verdict::Broken) => Evidence::Broken,
        };
        match self.state {
            State::Requested => Err(Denied::TooEarly),
            // The agent may be quicker than the provider's answer about its machine.
            State::Provisioning { .. } => {
                self.evidence = measured;
                Ok(Vec::new())
            }
            State::Booting => {
                self.evidence = measured;
                Ok(if self.may_take() { self.enter_ready(at) } else { Vec::new() })
            }
            State::Ready { .. } => {
                self.evidence = measured;
                Ok(match (known, measured) {
                    (Evidence::Broken, Evidence::Holds) => {
                        vec![notice("What was measured of the machine holds again: new workspaces may be placed here.")]
                    }
                    (Evidence::Missing | Evidence::Holds, Evidence::Broken) => vec![notice(
                        "What was measured of the machine is not what must hold: no new workspaces are placed here.",
                    )],
                    (_, Evidence::NotNeeded | Evidence::Missing | Evidence::Holds | Evidence::Broken) => Vec::new(),
                })
            }
            State::Destroying { next: Destroy::Save, .. } => Ok(Vec::new()),
            State::Failed { .. } | State::Quarantined { .. } | State::Destroying { .. } | State::Gone { .. } => {
                Err(Denied::Ending)
            }
        }
    }

    /// Nothing holds its deletion up any more.
    pub(super) fn workspaces_saved(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Destroying { next: Destroy::Save, .. } => {
                self.next_attempt_at = Some(at.now);
                Ok(Vec::new())
            }
            State::Requested | State::Provisioning { .. } | State::Booting | State::Ready { .. } => Err(Denied::Stale),
            State::Destroying { next: Destroy::Find | Destroy::Delete | Destroy::Confirm, .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Gone { .. } => Ok(Vec::new()),
        }
    }

    /// A machine that never got ready. One that is ready speaks through [`Node::trust_lost`]; a repeat changes nothing.
    pub(super) fn boot_failed(
        &mut self,
        code: FailureCode,
        detail: String,
        at: &Moment<'_>,
    ) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested => Err(Denied::TooEarly),
            State::Provisioning { .. } | State::Booting => {
                self.failure_detail = Some(detail);
                Ok(self.fail(code, at))
            }
            State::Ready { .. } => Err(Denied::Stale),
            State::Failed { .. } | State::Quarantined { .. } | State::Destroying { .. } | State::Gone { .. } => {
                Ok(Vec::new())
            }
        }
    }

    pub(super) fn trust_lost(&mut self, detail: String, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        self.quarantine(FailureCode::FirewallLost, Some(detail), at)
    }

    pub(super) fn key_conflict(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        self.quarantine(FailureCode::KeyConflict, None, at)
    }

    fn quarantine(
        &mut self,
        code: FailureCode,
        detail: Option<String>,
        at: &Moment<'_>,
    ) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested => Err(Denied::TooEarly),
            State::Provisioning { .. } | State::Booting | State::Ready { .. } => {
                self.agent_epoch = self.agent_epoch.saturating_add(1);
                self.failure_detail = detail;
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

    /// Only what does not get on can be given up: the way out for everything else is its end.
    pub(super) fn forget_requested(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Destroying { .. } if self.is_stuck() => Ok(self.enter_gone(FailureCode::Forgotten, at)),
            State::Requested
            | State::Provisioning { .. }
            | State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Destroying { .. } => Err(Denied::TooEarly),
            State::Gone { .. } => Ok(Vec::new()),
        }
    }

    /// What has no machine yet fails; what has one, or may have one, is left alone.
    pub(super) fn provisioning_paused(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested | State::Provisioning { next: Provision::Create } => {
                Ok(self.fail(FailureCode::ProvisioningPaused, at))
            }
            State::Provisioning { next: Provision::Find }
            | State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Destroying { .. }
            | State::Gone { .. } => Err(Denied::Stale),
        }
    }
}
