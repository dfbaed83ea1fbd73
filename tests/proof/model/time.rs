//! Time in the model: it passes to what comes next, and everything moves back by as much, so that now is always now.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use ringfence::domain::alarm::Wakes;
use ringfence::domain::node;
use ringfence_protocol::state::NodeState;
use ringfence_protocol::time::UnixMillis;

use super::object::{Heard, Run};
use super::{Asked, NOW, State};

/// What is longer ago than that is that long ago: longer than any time of the model.
const LONG_AGO: Duration = Duration::from_secs(400);

impl State {
    /// Whether time may pass now: not while something is due, nor while a request is at work, which takes no time here; while
    /// the alarm runs it is slow, which is a fault.
    pub(super) fn may_pass(&self, faults: bool) -> bool {
        let busy = self.request.is_some() || self.sweeping || self.object.heard.is_some();
        let due = self.object.run == Run::Asleep && self.object.alarm.is_some_and(|at| at <= NOW);
        let slow = self.object.run != Run::Asleep;
        !busy && !due && (!slow || faults) && self.next_instant().is_some()
    }

    fn next_instant(&self) -> Option<UnixMillis> {
        let hidden = self.machines.iter().filter_map(|machine| machine.hidden_until);
        let instants = self.object.alarm.into_iter().chain(self.late_create).chain(hidden);
        instants.filter(|at| *at > NOW).min()
    }

    /// Time passes to what comes next.
    pub(super) fn pass(&mut self) {
        let Some(next) = self.next_instant() else { return };
        let passed = next.since(NOW);
        let back = |at: &mut UnixMillis| *at = *at - passed;
        let back_some = |at: &mut Option<UnixMillis>| *at = at.map(|at| at - passed);
        self.each_instant(back, back_some);
        // A call that is late is no later than that.
        if self.late_create.is_some_and(|at| at <= NOW) {
            self.arrive();
        }
    }

    /// What is long ago is long ago, and what was hidden and is not is as if it never was.
    pub(super) fn normalise(&mut self) {
        let floor = NOW - LONG_AGO;
        self.each_instant(|at| *at = (*at).max(floor), |at| *at = at.map(|at| at.max(floor)));
        for machine in &mut self.machines {
            machine.hidden_until = machine.hidden_until.filter(|until| *until > NOW);
        }
        for workspace in &mut self.workspaces {
            workspace.failure_detail = None;
        }
        self.object.armed_until = self.object.armed_until.filter(|until| *until > NOW);
        // They are alike: which of them is the first makes no difference.
        self.workspaces.sort_by_cached_key(|workspace| {
            let mut hasher = DefaultHasher::new();
            workspace.hash(&mut hasher);
            hasher.finish()
        });
        // Once it does not ask any more, what it has asked makes no difference.
        if self.asked == Asked::Unanswered
            && !matches!(self.word(), Some(NodeState::Requested | NodeState::Provisioning))
        {
            self.asked = Asked::Answered;
        }
        if let Some(node) = &mut self.node {
            // As its row is written when the link's end is noticed.
            if self.link.is_none() && node.link == node::Link::Up {
                node.link = node::Link::Down { since: NOW };
            }
            // Only whether it is past matters; what it says is for people.
            node.state_since = node.state_since.min(NOW - LONG_AGO);
            node.first_create_at = node.last_create_at;
            node.failure_detail = None;
        }
    }

    fn each_instant(&mut self, each: impl Fn(&mut UnixMillis), each_optional: impl Fn(&mut Option<UnixMillis>)) {
        if let Some(node) = &mut self.node {
            each(&mut node.state_since);
            each(&mut node.hard_deadline);
            each_optional(&mut node.deadline);
            each_optional(&mut node.first_create_at);
            each_optional(&mut node.last_create_at);
            each_optional(&mut node.next_attempt_at);
            each_optional(&mut node.budget_spent_at);
            if let node::State::Ready { warm_since } = &mut node.state {
                each_optional(warm_since);
            }
            if let node::Link::Down { since } = &mut node.link {
                each(since);
            }
        }
        for workspace in &mut self.workspaces {
            each(&mut workspace.state_since);
            each_optional(&mut workspace.deadline);
            each_optional(&mut workspace.keep_alive_until);
            each_optional(&mut workspace.stop_asked_at);
            if let Some(last) = &mut workspace.last_use {
                each(&mut last.until);
            }
        }
        for machine in &mut self.machines {
            each_optional(&mut machine.hidden_until);
        }
        each_optional(&mut self.late_create);
        each_optional(&mut self.object.alarm);
        each_optional(&mut self.object.founded_at);
        each_optional(&mut self.object.armed_until);
        let Wakes { wanted, armed, inherited, looked_back: _ } = &mut self.object.wakes;
        each_optional(wanted);
        each_optional(inherited);
        *armed = armed
            .iter()
            .map(|at| {
                let mut at = *at;
                each(&mut at);
                at
            })
            .collect();
        match &mut self.object.run {
            Run::Asleep => {}
            Run::Turn { safety, .. } | Run::Calls { safety, .. } => each(safety),
            Run::Settle { safety, next, .. } => {
                each(safety);
                each_optional(next);
            }
        }
        if let Some(Heard::Armed(_, at) | Heard::Written { at, .. }) = &mut self.object.heard {
            each(at);
        }
    }
}
