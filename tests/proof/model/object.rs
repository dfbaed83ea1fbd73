//! The object: what the shell in `durable/` does around the deciding code, one effect at a time.

use ringfence::domain::alarm::{self, Wakes, sooner};
use ringfence::domain::node::{self, Call, Event, Node};
use ringfence::domain::together::{self, Effect};
use ringfence::domain::workspace::{self, Workspace};
use ringfence_protocol::state::NodeState;
use ringfence_protocol::time::UnixMillis;

use super::{Action, Life, Message, NOW, Outcome, State};

/// As in `app/drive_node.rs`.
const MAX_TURNS: u8 = 5;

/// A node's object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Object {
    /// In storage.
    pub(super) alarm: Option<UnixMillis>,
    /// In storage.
    pub(super) founded_at: Option<UnixMillis>,
    /// In storage.
    pub(super) armed_until: Option<UnixMillis>,
    /// In memory.
    pub(super) wakes: Wakes,
    pub(super) run: Run,
    /// A message of the agent that is being recorded.
    pub(super) heard: Option<Heard>,
}

/// How far a message of the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Heard {
    /// The alarm is set for what follows from it; it is written next.
    Armed(Message, UnixMillis),
    /// It is written: the object wakes itself then, and where it is `told` that is at once.
    Written { at: UnixMillis, told: bool },
}

/// Where a run of the alarm is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Run {
    Asleep,
    /// It reads and writes next.
    Turn {
        safety: UnixMillis,
        turn: u8,
        answers: Vec<Event>,
    },
    /// It calls the provider next.
    Calls {
        safety: UnixMillis,
        turn: u8,
        calls: Vec<Call>,
        answers: Vec<Event>,
    },
    /// It sets its alarm next, and ends.
    Settle {
        safety: UnixMillis,
        next: Option<UnixMillis>,
        end: End,
    },
}

/// What a drive said of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    GoesOn,
    Gone,
    Unwritten,
}

impl Object {
    pub(super) fn is_at_rest(&self) -> bool {
        self.run == Run::Asleep && self.heard.is_none()
    }

    fn look_back(&mut self) {
        self.wakes.look_back(self.armed_until, NOW);
    }

    fn wake(&mut self, at: UnixMillis) {
        self.look_back();
        self.wakes.want(at);
        if let Some(at) = sooner(at, self.alarm) {
            self.alarm = Some(at);
        }
    }

    /// A request's call after its write: as `NodeCall::Written` is answered.
    pub(super) fn told_of_a_write(&mut self) {
        self.founded_at.get_or_insert(NOW);
        self.look_back();
        self.wakes.written();
        self.wake(NOW);
    }

    /// A call: as `NodeCall::Wake` is answered.
    pub(super) fn called(&mut self, at: UnixMillis) {
        self.founded_at.get_or_insert(NOW);
        self.look_back();
        self.wakes.arm(at, NOW);
        if alarm::of_a_request(at, NOW) {
            self.armed_until = Some(at);
        }
        self.wake(at);
    }
}

impl State {
    pub(super) fn actions(&self, actions: &mut Vec<Action>) {
        let asleep = self.object.run == Run::Asleep;
        let (faults, crashes) = (self.left.faults > 0, self.left.crashes > 0);
        if self.object.heard.is_some() {
            actions.push(Action::HearOn);
        }
        self.wishes(actions);
        match self.object.alarm {
            Some(at) if asleep && at <= NOW => actions.push(Action::Alarm),
            Some(_) if asleep && faults => actions.push(Action::EarlyAlarm),
            // One was set before there was a row.
            None if asleep && faults && self.node.is_some() => actions.push(Action::AlarmAgain),
            Some(_) | None => {}
        }
        if !asleep {
            self.steps(actions, faults);
        }
        if crashes && (!self.object.is_at_rest() || self.link.is_some()) {
            actions.push(Action::CrashObject);
        }
        if self.late_create.is_some() {
            actions.push(Action::Arrive);
        }
        if self.may_pass(faults) {
            actions.push(Action::Pass);
        }
    }

    fn steps(&self, actions: &mut Vec<Action>, faults: bool) {
        actions.push(Action::Step(Outcome::Fine));
        if let Run::Calls { calls, .. } = &self.object.run
            && let Some(call) = calls.first()
            && faults
        {
            actions.extend(super::provider::faults(call).iter().copied().map(Action::Step));
        }
    }

    pub(super) fn apply(&mut self, life: &Life, action: Action) {
        match action {
            Action::Pass => {
                if self.object.run != Run::Asleep {
                    self.left.faults -= 1;
                }
                self.pass();
            }
            Action::Alarm => self.begin(),
            Action::EarlyAlarm | Action::AlarmAgain => {
                self.left.faults -= 1;
                self.begin();
            }
            Action::Step(outcome) => {
                if outcome != Outcome::Fine {
                    self.left.faults -= 1;
                }
                self.step(life, outcome);
            }
            Action::HearOn => match self.object.heard.take() {
                Some(Heard::Armed(message, at)) => self.hear(life, message, Some(at)),
                Some(Heard::Written { told: true, .. }) => self.object.told_of_a_write(),
                Some(Heard::Written { at, told: false }) => self.object.wake(at),
                None => {}
            },
            Action::RequestStep => self.request_step(life),
            Action::Spend => self.spend(),
            Action::SweepWake => {
                self.sweeping = false;
                self.object.called(NOW);
            }
            Action::CrashObject => {
                self.left.crashes -= 1;
                self.object.run = Run::Asleep;
                self.object.heard = None;
                self.object.wakes = Wakes::default();
                self.link = None;
            }
            Action::CrashRequest => {
                self.left.crashes -= 1;
                self.request = None;
            }
            Action::CrashSweep => {
                self.left.crashes -= 1;
                self.sweeping = false;
            }
            Action::Ask(wish) => self.ask(wish),
            Action::Arrive => self.arrive(),
            Action::Connect => {
                self.link = self.node.as_ref().map(|node| node.agent_epoch);
                let deadline = self.poll_timeout(life);
                self.node.iter_mut().for_each(|node| node.link = node::Link::Up);
                // Its hello says so, and is recorded as every message is: the alarm is set for what follows from it, first.
                let next = self.poll_timeout(life);
                if let Some(sooner) = next.filter(|next| deadline.is_none_or(|deadline| *next < deadline)) {
                    self.object.wake(sooner);
                }
            }
            Action::Say(message) => {
                self.left.says -= 1;
                self.hear(life, message, None);
            }
        }
    }

    fn begin(&mut self) {
        self.object.alarm = None;
        let safety = self.object.wakes.begin(NOW);
        self.object.alarm = Some(safety);
        self.object.look_back();
        self.object.run = match self.object.founded_at {
            Some(_) => Run::Turn { safety, turn: 1, answers: Vec::new() },
            None => Run::Settle { safety, next: None, end: End::Gone },
        };
    }

    fn step(&mut self, life: &Life, outcome: Outcome) {
        match std::mem::replace(&mut self.object.run, Run::Asleep) {
            Run::Asleep => {}
            Run::Turn { safety, turn, answers } => self.turn(life, safety, turn, &answers),
            Run::Calls { safety, turn, mut calls, mut answers } => {
                let call = calls.remove(0);
                answers.push(self.call(call, outcome));
                self.object.run = match calls.is_empty() {
                    false => Run::Calls { safety, turn, calls, answers },
                    true if turn >= MAX_TURNS => Run::Settle { safety, next: Some(NOW), end: End::GoesOn },
                    true => Run::Turn { safety, turn: turn + 1, answers },
                };
            }
            Run::Settle { safety, next, end } => self.settle(safety, next, end),
        }
    }

    fn settle(&mut self, safety: UnixMillis, next: Option<UnixMillis>, end: End) {
        let awaited = self.object.founded_at.map(|at| at + alarm::WRITING).filter(|until| *until > NOW);
        let object = &mut self.object;
        let gone = end != End::GoesOn;
        if end == End::Unwritten && awaited.is_some() {
            object.alarm = object.wakes.settle(awaited, object.alarm, safety);
        } else if gone && self.link.is_none() && !object.wakes.are_wanted() {
            (object.alarm, object.founded_at, object.armed_until) = (None, None, None);
        } else {
            let next = if gone { None } else { next };
            object.alarm = object.wakes.settle(next, object.alarm, safety);
        }
    }

    /// Reads, decides, writes: one step, as the compare-and-set makes it.
    fn turn(&mut self, life: &Life, safety: UnixMillis, turn: u8, answers: &[Event]) {
        let settle = |next, end| Run::Settle { safety, next, end };
        let Some(mut node) = self.node.clone() else {
            self.object.run = settle(None, End::Unwritten);
            return;
        };
        let (mut workspaces, at) = (self.workspaces.clone(), life.moment());
        let mut calls = Vec::new();
        for answer in answers {
            collect(node.handle(answer.clone(), &at).unwrap_or_default(), &mut calls);
        }
        let mut beside: Vec<&mut Workspace> = workspaces.iter_mut().collect();
        let asking = !calls.is_empty();
        for effect in together::tick(&mut node, &mut beside, asking, &at) {
            match effect {
                Effect::Node(effect) => collect(vec![effect], &mut calls),
                Effect::Workspace(_, _) => {}
            }
        }
        for (before, after) in self.workspaces.iter().zip(&workspaces) {
            // Nobody has asked: time alone.
            if before.running && !after.running {
                let is_idle = before
                    .last_use
                    .is_some_and(|used| used.until.max(before.state_since) + before.patience.idle_timeout <= NOW);
                self.idled = true;
                self.broken = self.broken.or((!is_idle).then_some("it was used, and is stopped for want of use"));
            }
        }
        let changed = self.store(node, workspaces);
        answers.iter().for_each(|answer| self.learn(answer));
        let gone = self.word() == Some(NodeState::Gone);
        if self.node.as_ref().is_some_and(has_ended) {
            self.link = None;
        }
        self.object.run = if calls.is_empty() && !changed {
            settle(self.poll_timeout(life), if gone { End::Gone } else { End::GoesOn })
        } else if !calls.is_empty() {
            Run::Calls { safety, turn, calls, answers: Vec::new() }
        } else if turn >= MAX_TURNS {
            settle(Some(NOW), End::GoesOn)
        } else {
            Run::Turn { safety, turn: turn + 1, answers: Vec::new() }
        };
    }

    pub(super) fn poll_timeout(&self, life: &Life) -> Option<UnixMillis> {
        together::poll_timeout(self.node.as_ref()?, &self.workspaces, &life.timing)
    }

    /// Writes the rows, and looks at what became of them. Says whether anything has changed.
    pub(super) fn store(&mut self, node: Node, mut workspaces: Vec<Workspace>) -> bool {
        if let Some(before) = &self.node {
            self.broken = self.broken.or_else(|| broken(before, &node));
        }
        workspaces.retain(|workspace| workspace.state != workspace::State::Gone);
        let changed = self.node.as_ref() != Some(&node) || self.workspaces != workspaces;
        (self.node, self.workspaces) = (Some(node), workspaces);
        changed
    }
}

fn collect(effects: Vec<node::Effect>, calls: &mut Vec<Call>) {
    for effect in effects {
        match effect {
            node::Effect::Call(call) => calls.push(call),
            node::Effect::CloseSockets | node::Effect::Record(_) => {}
        }
    }
}

/// Whether its agent has lost it. While its workspaces save, the agent is needed.
const fn has_ended(node: &Node) -> bool {
    match node.state {
        node::State::Requested
        | node::State::Provisioning { .. }
        | node::State::Booting
        | node::State::Ready { .. }
        | node::State::Destroying { next: node::Destroy::Save, .. } => false,
        node::State::Failed { .. }
        | node::State::Quarantined { .. }
        | node::State::Destroying { .. }
        | node::State::Gone { .. } => true,
    }
}

/// What of a change is against the rules (I9).
fn broken(before: &Node, after: &Node) -> Option<&'static str> {
    use NodeState::{Booting, Destroying, Failed, Gone, Provisioning, Quarantined, Ready, Requested};
    let (from, to) = (before.word(), after.word());
    // A turn may take several steps of the diagram.
    let follows = from == to
        || match from {
            Requested => to != Ready,
            Provisioning => to != Requested,
            Booting => !matches!(to, Requested | Provisioning),
            Ready => matches!(to, Quarantined | Destroying | Gone),
            Failed | Quarantined => matches!(to, Destroying | Gone),
            Destroying => to == Gone,
            Gone => false,
        };
    if !follows {
        Some("a state that does not follow")
    } else if after.deadline.is_none() != (to == Gone) {
        Some("a state without a deadline")
    } else if after.hard_deadline > before.hard_deadline {
        Some("a hard deadline that was moved")
    } else if after.agent_epoch < before.agent_epoch
        || (has_ended(after) && to != Failed && !has_ended(before) && after.agent_epoch == before.agent_epoch)
    {
        Some("an epoch that was not raised")
    } else if from != Ready && to == Ready && !after.evidence.suffices() {
        Some("ready, and what must hold was not measured to hold")
    } else if to == Gone && after.places_taken > 0 {
        Some("gone, and places are taken on it")
    } else if after.create_attempts > before.create_attempts + 1 {
        Some("two create calls in one turn")
    } else {
        None
    }
}
