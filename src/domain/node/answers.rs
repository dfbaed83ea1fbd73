//! What a node makes of its provider's answers. An answer may come late, to a state that has moved on (a DELETE while the
//! create call was on its way): what it says about the machine is learnt all the same, or the machine would be lost.

use std::time::Duration;

use ringfence_protocol::time::UnixMillis;

use super::{Call, CallError, Deletion, Destroy, Effect, Instance, InstanceId, Link, Node, Provision, State, notice};
use crate::domain::lifecycle::{Denied, FailureCode, Moment};

impl Node {
    pub(super) fn create_answered(
        &mut self,
        answer: Result<Instance, CallError>,
        at: &Moment<'_>,
    ) -> Result<Vec<Effect>, Denied> {
        let error = match answer {
            Ok(instance) => return self.found(vec![instance], at),
            Err(error) => error,
        };
        match self.state {
            State::Requested => Err(Denied::Stale),
            State::Provisioning { .. } => Ok(self.create_failed(error, at)),
            State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Destroying { .. }
            | State::Gone { .. } => Ok(Vec::new()),
        }
    }

    pub(super) fn find_answered(
        &mut self,
        answer: Result<Vec<Instance>, CallError>,
        at: &Moment<'_>,
    ) -> Result<Vec<Effect>, Denied> {
        match answer {
            Ok(instances) if instances.is_empty() => self.found_nothing(at),
            Ok(instances) => self.found(instances, at),
            Err(error) => self.attempt_failed(error, at),
        }
    }

    pub(super) fn get_answered(
        &mut self,
        answer: Result<Option<Instance>, CallError>,
        at: &Moment<'_>,
    ) -> Result<Vec<Effect>, Denied> {
        match (self.state, answer) {
            (State::Destroying { code, next, overdue }, Ok(None)) if self.instance.is_some() => {
                Ok(self.not_found(code, next, overdue, at))
            }
            (State::Destroying { code, overdue, .. }, Ok(Some(found)))
                if self.instance.as_ref().is_some_and(|known| known.id == found.id) =>
            {
                // Still there: the deletion is slow, or was lost. Deleting again does no harm.
                self.key_refused = false;
                self.state = State::Destroying { code, next: Destroy::Delete, overdue };
                self.retry_later(None, at);
                Ok(Vec::new())
            }
            (_, Err(error)) => self.attempt_failed(error, at),
            (_, Ok(_)) => Err(Denied::Stale),
        }
    }

    pub(super) fn delete_answered(
        &mut self,
        id: &InstanceId,
        answer: Result<Deletion, CallError>,
        at: &Moment<'_>,
    ) -> Result<Vec<Effect>, Denied> {
        let ours = self.instance.as_ref().is_some_and(|instance| instance.id == *id);
        match (self.state, answer) {
            // The answer about a machine beside ours changes nothing.
            (_, _) if !ours => Ok(Vec::new()),
            (State::Destroying { code, next, overdue }, Ok(Deletion::NotFound)) => {
                Ok(self.not_found(code, next, overdue, at))
            }
            (State::Destroying { code, overdue, .. }, Ok(Deletion::Accepted)) => {
                self.state = State::Destroying { code, next: Destroy::Confirm, overdue };
                self.key_refused = false;
                self.next_attempt_at = Some(at.now + at.timing.backoff_first);
                Ok(Vec::new())
            }
            (_, Err(error)) => self.attempt_failed(error, at),
            (_, Ok(_)) => Err(Denied::Stale),
        }
    }

    /// The provider has a machine of ours: it is adopted. Names are unique, so a second one should not be; it is deleted.
    fn found(&mut self, instances: Vec<Instance>, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        if self.state == State::Requested {
            return Err(Denied::Stale);
        }
        let mut effects = Vec::new();
        for instance in instances {
            match &self.instance {
                Some(known) if known.id == instance.id => {}
                None if !matches!(self.state, State::Gone { .. }) => self.instance = Some(instance),
                Some(_) | None => effects.push(Effect::Call(Call::Delete(instance.id))),
            }
        }
        match self.state {
            State::Provisioning { .. } => {
                effects.extend(self.enter(State::Booting, Some(at.timing.booting), at));
            }
            State::Destroying { code, next: Destroy::Find, overdue } => {
                self.state = State::Destroying { code, next: Destroy::Delete, overdue };
                self.key_refused = false;
                self.next_attempt_at = Some(at.now);
            }
            State::Requested
            | State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Destroying { next: Destroy::Save | Destroy::Delete | Destroy::Confirm, .. }
            | State::Gone { .. } => {}
        }
        Ok(effects)
    }

    fn found_nothing(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Provisioning { next: Provision::Find } => {
                self.state = State::Provisioning { next: Provision::Create };
                self.key_refused = false;
                self.retry_later(None, at);
                Ok(vec![notice("The provider has no machine of this node: asking for it again.")])
            }
            // A list may be behind: only the machine's own 404 is proof once we know it.
            State::Destroying { code, next: Destroy::Find, overdue } if self.instance.is_some() => {
                self.state = State::Destroying { code, next: Destroy::Delete, overdue };
                self.next_attempt_at = Some(at.now);
                Ok(Vec::new())
            }
            State::Destroying { code, next: Destroy::Find, .. } => {
                if at.now >= self.settled_at(at) {
                    return Ok(self.enter_gone(code, at));
                }
                self.key_refused = false;
                self.look_again_until_settled(at);
                Ok(Vec::new())
            }
            State::Requested
            | State::Provisioning { next: Provision::Create }
            | State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Destroying { next: Destroy::Save | Destroy::Delete | Destroy::Confirm, .. }
            | State::Gone { .. } => Err(Denied::Stale),
        }
    }

    /// The provider knows no machine of that id. That proves something once it has accepted the deletion, or once its reads have
    /// settled after the last create call: a machine that was just made may not be shown yet.
    fn not_found(&mut self, code: FailureCode, next: Destroy, overdue: u32, at: &Moment<'_>) -> Vec<Effect> {
        let is_proof = next == Destroy::Confirm || at.now >= self.settled_at(at);
        if is_proof && self.create_attempts <= 1 {
            return self.enter_gone(code, at);
        }
        if is_proof {
            // An earlier create call may still be on its way, or have arrived when the name was free: its machine has another id.
            self.former = self.instance.take().map(|instance| instance.id).or_else(|| self.former.take());
            self.state = State::Destroying { code, next: Destroy::Find, overdue };
        }
        self.look_again_until_settled(at);
        Vec::new()
    }

    /// The machine is not there any more, though nobody here has deleted it. One whose agent is there is there, whatever its
    /// provider says, and one that was just made may not be shown yet; what is not ready has a deadline that ends it soon anyway.
    pub(super) fn machine_missing(&mut self, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Ready { .. } if self.link != Link::Up && at.now >= self.settled_at(at) => {
                Ok(self.destroy(FailureCode::MachineGone, at))
            }
            State::Requested
            | State::Provisioning { .. }
            | State::Booting
            | State::Ready { .. }
            | State::Quarantined { .. } => Err(Denied::Stale),
            State::Failed { .. } | State::Destroying { .. } | State::Gone { .. } => Ok(Vec::new()),
        }
    }

    /// When what the provider does not show does not exist.
    fn settled_at(&self, at: &Moment<'_>) -> UnixMillis {
        self.last_create_at.unwrap_or_default() + at.timing.settle
    }

    fn look_again_until_settled(&mut self, at: &Moment<'_>) {
        self.retry_later(None, at);
        let settled = self.settled_at(at);
        self.next_attempt_at = self.next_attempt_at.map(|next| next.min(settled));
    }

    /// Only of the machine that is the node's: what is ordered, what it costs and where it stands follow from it.
    pub(super) fn made(&mut self, id: &InstanceId, region: &str, size: &str) -> Result<Vec<Effect>, Denied> {
        if self.instance.as_ref().is_none_or(|instance| instance.id != *id) {
            return Err(Denied::Stale);
        }
        self.offers.settle(region, size);
        Ok(Vec::new())
    }

    /// Which answers prove that no machine was made, and which only say that we do not know. Where there is none free, the next
    /// one of the list is ordered at once.
    fn create_failed(&mut self, error: CallError, at: &Moment<'_>) -> Vec<Effect> {
        match error {
            CallError::Capacity => self.try_next_offer(at),
            CallError::Quota => self.fail(FailureCode::Quota, at),
            CallError::Auth => self.fail(FailureCode::Auth, at),
            CallError::Invalid => self.fail(FailureCode::Invalid, at),
            CallError::NameTaken => {
                self.state = State::Provisioning { next: Provision::Find };
                self.next_attempt_at = Some(at.now);
                vec![notice("The provider already has this machine: adopting it.")]
            }
            CallError::RateLimited { retry_after_ms } => {
                self.state = State::Provisioning { next: Provision::Create };
                self.retry_later(retry_after_ms, at);
                vec![notice("The provider asks us to slow down: trying again in a moment.")]
            }
            CallError::Transient | CallError::Unknown => {
                self.state = State::Provisioning { next: Provision::Find };
                self.retry_later(None, at);
                vec![notice("The provider's answer was lost: looking whether it made the machine.")]
            }
        }
    }

    fn try_next_offer(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        let sold_out = self.offers.current().map(|offer| format!("{} in {}", offer.size, offer.region));
        if !self.offers.advance() {
            return self.fail(FailureCode::Capacity, at);
        }
        self.state = State::Provisioning { next: Provision::Create };
        self.next_attempt_at = Some(at.now);
        self.failures = 0;
        let next = self.offers.current().map(|offer| format!("{} in {}", offer.size, offer.region));
        vec![notice(&format!(
            "The provider has no {} free: trying {}.",
            sold_out.unwrap_or_default(),
            next.unwrap_or_default()
        ))]
    }

    fn attempt_failed(&mut self, error: CallError, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        let retry_after_ms = match error {
            CallError::RateLimited { retry_after_ms } => retry_after_ms,
            CallError::Capacity
            | CallError::Quota
            | CallError::Auth
            | CallError::Invalid
            | CallError::NameTaken
            | CallError::Transient
            | CallError::Unknown => None,
        };
        match self.state {
            State::Provisioning { .. } | State::Destroying { .. } => {
                let first = self.failures == 0;
                self.key_refused = error == CallError::Auth;
                self.retry_later(retry_after_ms, at);
                // Told once: the next ones in a row say nothing new.
                Ok(match error {
                    CallError::Auth if first => {
                        vec![notice("The provider refuses the credential. Replace it, or the machine stays as it is.")]
                    }
                    CallError::Invalid if first => vec![notice(
                        "The provider refuses the request, or the machine does not carry the marks of this node any more: look at it in the provider's console.",
                    )],
                    CallError::Auth
                    | CallError::Invalid
                    | CallError::Capacity
                    | CallError::Quota
                    | CallError::NameTaken
                    | CallError::RateLimited { .. }
                    | CallError::Transient
                    | CallError::Unknown => Vec::new(),
                })
            }
            State::Requested
            | State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Gone { .. } => Err(Denied::Stale),
        }
    }

    fn retry_later(&mut self, retry_after_ms: Option<u64>, at: &Moment<'_>) {
        let overdue = match self.state {
            State::Destroying { overdue, .. } => overdue,
            State::Requested
            | State::Provisioning { .. }
            | State::Booting
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Gone { .. } => 0,
        };
        let longest = at.timing.backoff_max.saturating_mul(1_u32 << overdue.min(16)).min(at.timing.destroying_max);
        let pause = at.backoff(self.failures, longest);
        // What the provider asks for is honoured, within the hour: a mistaken header must not hold a node for ever.
        let asked = retry_after_ms.map(|ms| at.now + Duration::from_millis(ms).min(at.timing.destroying_max));
        self.next_attempt_at = Some(asked.map_or(pause, |asked| asked.max(pause)));
        self.failures = self.failures.saturating_add(1);
    }
}
