//! What the passing of time does to a node: deadlines first, then the next call of the provider that is due.

use std::time::Duration;

use ringfence_protocol::state::{Isolation, NodePolicy};
use ringfence_protocol::time::UnixMillis;

use super::{Call, Destroy, Effect, Link, Node, Provision, State, notice};
use crate::domain::lifecycle::{FailureCode, Moment};

/// How long before the next paid period the deletion begins: a deletion and some attempts.
const PAID_MARGIN: Duration = Duration::from_secs(120);
/// How long a machine that is kept warm goes on at least before it is asked again whether it still is: six alarms and writes a day, of
/// two or three rows each, beside what any idle machine takes of its fifty.
const KEPT_FOR: Duration = Duration::from_secs(4 * 3600);

impl Node {
    /// Once a budget is spent, a machine without workspaces ends at once, and one with workspaces after the grace: its hard
    /// deadline comes nearer, of which they warn. `None` when there is nothing to heed, or no longer.
    pub(super) fn heed_budget(&mut self, at: &Moment<'_>) -> Option<Vec<Effect>> {
        let ends = self.budget_spent_at? + at.timing.budget_grace;
        match self.state {
            State::Requested | State::Provisioning { .. } | State::Booting | State::Quarantined { .. } => {
                Some(self.destroy(FailureCode::BudgetSpent, at))
            }
            State::Ready { .. } if self.places_taken == 0 || at.now >= ends => {
                Some(self.destroy(FailureCode::BudgetSpent, at))
            }
            State::Ready { .. } if ends < self.hard_deadline => {
                self.hard_deadline = ends;
                self.deadline = self.deadline.map(|deadline| deadline.min(ends));
                Some(vec![notice(
                    "A budget for this month is spent: the machine and its workspaces end soon. Save what you need, or have an admin raise the budget; what has ended stays so.",
                )])
            }
            State::Ready { .. } | State::Failed { .. } | State::Destroying { .. } | State::Gone { .. } => None,
        }
    }

    pub(super) fn tick(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        let late = self.deadline.is_some_and(|deadline| at.now >= deadline);
        let lifetime_over = at.now >= self.hard_deadline;
        match self.state {
            State::Requested
            | State::Provisioning { .. }
            | State::Booting
            | State::Ready { .. }
            | State::Quarantined { .. }
                if lifetime_over =>
            {
                self.destroy(FailureCode::LifetimeOver, at)
            }
            State::Requested | State::Provisioning { .. } | State::Booting if self.abandoned() => {
                self.destroy(FailureCode::WorkspaceGone, at)
            }
            State::Requested if late => self.fail(FailureCode::RequestTimeout, at),
            State::Requested => self.begin_create(at),
            State::Provisioning { .. } if late => self.fail(FailureCode::ProvisioningTimeout, at),
            State::Provisioning { .. } if !self.attempt_due(at) => Vec::new(),
            State::Provisioning { next: Provision::Create } => self.begin_create(at),
            State::Provisioning { next: Provision::Find } => vec![Effect::Call(Call::Find)],
            State::Booting if self.may_take() => self.enter_ready(at),
            State::Booting if late => self.fail(FailureCode::BootTimeout, at),
            State::Booting => Vec::new(),
            State::Ready { warm_since } => self.tick_ready(warm_since, at),
            State::Failed { code } => self.destroy(code, at),
            State::Quarantined { code } if late => self.destroy(code, at),
            State::Quarantined { .. } => Vec::new(),
            State::Destroying { code, next, overdue } => self.tick_destroying(code, next, overdue, at),
            State::Gone { .. } => Vec::new(),
        }
    }

    fn tick_ready(&mut self, warm_since: Option<UnixMillis>, at: &Moment<'_>) -> Vec<Effect> {
        match (self.places_taken, warm_since) {
            (0, _) if self.policy == NodePolicy::Draining => self.destroy(FailureCode::Drained, at),
            (0, _) if self.isolation == Isolation::Ephemeral => self.destroy(FailureCode::WorkspaceGone, at),
            (0, None) => {
                self.state = State::Ready { warm_since: Some(at.now) };
                self.deadline = Some(match self.isolation {
                    Isolation::User => self.warm_until(at).min(self.hard_deadline),
                    Isolation::Dedicated | Isolation::Ephemeral => self.hard_deadline,
                });
                vec![Effect::Record(self.as_event())]
            }
            (0, Some(_)) if self.off_at(at.timing).is_some_and(|off| at.now >= off) => {
                self.destroy(FailureCode::AgentLost, at)
            }
            (0, Some(_)) if self.kept_warm > 0 && self.deadline.is_some_and(|deadline| at.now >= deadline) => {
                // The hard deadline ends it all the same, and so does everything else that does not ask whether it is idle.
                self.deadline = Some(self.warm_until(at).max(at.now + KEPT_FOR).min(self.hard_deadline));
                Vec::new()
            }
            (0, Some(_)) if self.deadline.is_some_and(|deadline| at.now >= deadline) => {
                self.destroy(FailureCode::Idle, at)
            }
            // It was kept, and is not any more: it waits as long as any other.
            (0, Some(_))
                if self.isolation == Isolation::User
                    && self.kept_warm == 0
                    && self.deadline.is_some_and(|deadline| deadline > self.warm_until(at)) =>
            {
                self.deadline = Some(self.warm_until(at));
                Vec::new()
            }
            (0, Some(_)) | (1.., None) => Vec::new(),
            (1.., Some(_)) => {
                self.state = State::Ready { warm_since: None };
                self.deadline = Some(self.hard_deadline);
                vec![Effect::Record(self.as_event())]
            }
        }
    }

    /// How long it waits for its user's next workspace: its idle time, or until just before the next period of the provider
    /// begins, where the one in which that time ends is paid anyway.
    fn warm_until(&self, at: &Moment<'_>) -> UnixMillis {
        let idle = at.now + at.timing.idle_timeout;
        let (Some(period), Some(from)) = (self.paid_period, self.first_create_at) else { return idle };
        let begun = idle.since(from).as_secs() / period.as_secs().max(1) + 1;
        let paid = from + period.saturating_mul(u32::try_from(begun).unwrap_or(u32::MAX));
        idle.max(paid - PAID_MARGIN)
    }

    fn tick_destroying(&mut self, code: FailureCode, next: Destroy, overdue: u32, at: &Moment<'_>) -> Vec<Effect> {
        if next == Destroy::Save {
            // Also at the state's own deadline, where that is shorter: an alarm must find something to do.
            let late = self.deadline.is_some_and(|deadline| at.now >= deadline);
            let over = late || self.attempt_due(at) || self.link != Link::Up;
            return if over { self.begin_deletion(code, overdue, at) } else { Vec::new() };
        }
        if self.instance.is_none() && self.create_attempts == 0 {
            return self.enter_gone(code, at);
        }
        let mut effects = Vec::new();
        if self.deadline.is_some_and(|deadline| at.now >= deadline) {
            let overdue = overdue.saturating_add(1);
            let pause = at.timing.destroying.saturating_mul(1_u32 << overdue.min(16)).min(at.timing.destroying_max);
            self.state = State::Destroying { code, next, overdue };
            self.deadline = Some(at.now + pause);
            effects.push(notice(
                "The machine could not be deleted in time. It may still cost money: look at the provider's console if this stays.",
            ));
        }
        if self.attempt_due(at) {
            effects.push(Effect::Call(match (next, &self.instance) {
                (Destroy::Delete, Some(instance)) => Call::Delete(instance.id.clone()),
                (Destroy::Confirm, Some(instance)) => Call::Get(instance.id.clone()),
                (Destroy::Save | Destroy::Find, _) | (Destroy::Delete | Destroy::Confirm, None) => Call::Find,
            }));
        }
        effects
    }

    /// Records the create call that follows, and that the step after it is to look for the machine.
    fn begin_create(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !matches!(self.state, State::Provisioning { .. }) {
            effects.extend(self.enter(State::Provisioning { next: Provision::Find }, Some(at.timing.provisioning), at));
        }
        self.state = State::Provisioning { next: Provision::Find };
        self.create_attempts = self.create_attempts.saturating_add(1);
        self.first_create_at = self.first_create_at.or(Some(at.now));
        self.last_create_at = Some(at.now);
        self.next_attempt_at = Some(at.now + at.timing.create_grace);
        effects.push(Effect::Call(Call::Create));
        effects
    }
}
