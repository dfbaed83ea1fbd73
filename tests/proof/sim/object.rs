//! The object of a node: what `durable/` does around the use cases, with an alarm, storage and memory that can be lost.

use std::collections::VecDeque;
use std::rc::Rc;

use ringfence::app::agent_report::{agent_report, link_closed, link_lost};
use ringfence::app::drive_node::{Undriven, drive_node};
use ringfence::app::outcome::{Driven, Outgoing};
use ringfence::app::secrets::complete;
use ringfence::app::ticket::destroy_by_ticket;
use ringfence::domain::alarm::{self, Wakes};
use ringfence::domain::node::InstanceId;
use ringfence::domain::ticket::DestroyTicket;
use ringfence::error::Result;
use ringfence::ports::Clock;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::AgentMessage;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::time::UnixMillis;

use super::Sim;
use super::tasks::{Job, pause};

/// An open link.
#[derive(Debug, Clone)]
pub struct Link {
    pub id: u64,
    pub epoch: i64,
    pub instance: InstanceId,
    pub opened_at: UnixMillis,
    pub recorded: Recorded,
    /// Since when the other end is not there, and nobody has said so.
    pub silent_since: Option<UnixMillis>,
}

/// What of an agent's word is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    Nothing,
    All,
    Gaps,
}

/// An object.
#[derive(Debug, Default)]
pub struct Object {
    /// The platform's one alarm.
    pub alarm: Option<UnixMillis>,
    /// In storage: since when it knows its node.
    pub founded_at: Option<UnixMillis>,
    /// In storage: until when requests that armed the alarm may be about to write.
    pub armed_until: Option<UnixMillis>,
    /// In storage.
    pub ticket: Option<DestroyTicket>,
    /// In storage: how many drives have failed in a row.
    pub failures: u32,
    /// In memory.
    pub wakes: Wakes,
    /// Whether its alarm is running: the platform runs one at a time.
    pub running: bool,
    /// In memory: what an agent has said that is not recorded yet, in that order, and the turn to record it.
    pub said: VecDeque<(u64, i64, AgentMessage)>,
    pub in_order: Rc<tokio::sync::Mutex<()>>,
    pub link: Option<Link>,
}

impl Object {
    pub fn look_back(&mut self, now: UnixMillis) {
        self.wakes.look_back(self.armed_until, now);
    }

    /// A request arms the object.
    pub fn arm(&mut self, at: UnixMillis, now: UnixMillis) {
        self.wakes.arm(at, now);
        if alarm::of_a_request(at, now) {
            self.armed_until = Some(at);
        }
    }
}

impl Sim {
    pub fn with_object<T>(&self, node: NodeId, act: impl FnOnce(&mut Object) -> T) -> T {
        act(self.objects.borrow_mut().entry(node).or_default())
    }

    pub fn remember(&self, node: NodeId) {
        let now = self.now();
        self.with_object(node, |object| object.founded_at.get_or_insert(now).to_owned());
    }

    /// An object's alarm goes off. A process that dies before it has set the safety alarm has not run: the platform calls it again.
    pub fn ring(&self, node: NodeId) {
        let now = self.now();
        let safety = self.with_object(node, |object| {
            let safety = object.wakes.begin(now);
            object.alarm = Some(safety);
            object.running = true;
            safety
        });
        self.begin(Job::Alarm(node, safety));
    }

    /// One run of the alarm.
    pub async fn run_alarm(&self, node: NodeId, safety: UnixMillis) {
        self.count(|figures| figures.alarms += 1);
        pause().await;
        let now = self.now();
        self.with_object(node, |object| object.look_back(now));
        if self.with_object(node, |object| object.founded_at.is_none()) {
            self.with_object(node, |object| object.alarm = None);
        } else {
            let silence = self.settings().timing.silence;
            let is_silent = |link: &Link| link.silent_since.is_some_and(|since| self.now().since(since) > silence);
            if self.with_object(node, |object| object.link.as_ref().is_some_and(is_silent)) {
                self.close_link(node);
            }
            let outcome = match self.observe_link(node).await {
                Ok(()) => drive_node(self, self.settings(), &self, node).await,
                Err(error) => Err(Undriven { error, to_agent: Vec::new() }),
            };
            match outcome {
                Ok(driven) => {
                    self.note(|| format!("drove {node}: {}", told(&driven)));
                    self.with_object(node, |object| object.failures = 0);
                    self.apply(node, driven, Some(safety)).await;
                }
                Err(failed) => {
                    self.note(|| format!("drove {node} in vain: {:?}", failed.error.log));
                    for outgoing in &failed.to_agent {
                        self.tell(node, outgoing).await;
                    }
                    let next = self.drive_failed(node).await;
                    self.settle_alarm(node, Some(next), safety).await;
                }
            }
        }
        self.with_object(node, |object| object.running = false);
    }

    /// What a use case about this node has left to do.
    async fn apply(&self, node: NodeId, driven: Driven, safety: Option<UnixMillis>) {
        for outgoing in &driven.to_agent {
            self.tell(node, outgoing).await;
        }
        if driven.close_all || driven.refused {
            self.close_link(node);
        }
        pause().await;
        match (&driven.ticket, driven.gone) {
            (Some(ticket), _) => self.with_object(node, |object| object.ticket = Some(ticket.clone())),
            (None, true) => self.with_object(node, |object| object.ticket = None),
            (None, false) => {}
        }
        pause().await;
        let now = self.now();
        let awaited = self.with_object(node, |object| {
            let founded = object.founded_at.filter(|_| driven.unwritten);
            founded.map(|founded| founded + alarm::WRITING).filter(|until| *until > now)
        });
        let forgets = self.with_object(node, |object| object.link.is_none() && !object.wakes.are_wanted());
        match safety {
            Some(safety) if awaited.is_some() => self.settle_alarm(node, awaited, safety).await,
            Some(_) if driven.gone && forgets => {
                self.with_object(node, |object| {
                    (object.alarm, object.founded_at) = (None, None);
                    (object.ticket, object.armed_until) = (None, None);
                });
            }
            Some(safety) => self.settle_alarm(node, driven.next_wake, safety).await,
            None => {
                if let Some(at) = driven.next_wake {
                    self.wake_object(node, at).await;
                }
            }
        }
    }

    async fn tell(&self, node: NodeId, outgoing: &Outgoing) {
        let Some(link) = self.with_object(node, |object| object.link.clone()) else { return };
        match complete(self, &self.config.keyring, outgoing).await {
            Ok(Some(message)) => {
                if let Some(machine) = self.machines.borrow_mut().get_mut(&link.instance) {
                    machine.inbox.push_back((link.id, message));
                    self.begin(Job::Obey(link.instance, link.id));
                }
            }
            Ok(None) => {}
            Err(_) => self.wake_object(node, self.now() + alarm::RETRY).await,
        }
    }

    async fn settle_alarm(&self, node: NodeId, deadline: Option<UnixMillis>, safety: UnixMillis) {
        let current = self.with_object(node, |object| object.alarm);
        pause().await;
        self.with_object(node, |object| object.alarm = object.wakes.settle(deadline, current, safety));
    }

    /// A drive has failed: the machine is deleted by the ticket if its time has come. Gives when to look again.
    async fn drive_failed(&self, node: NodeId) -> UnixMillis {
        let (failures, ticket) = self.with_object(node, |object| {
            object.failures += 1;
            (object.failures - 1, object.ticket.clone())
        });
        let (now, pause) = (self.now(), alarm::retry_after(failures));
        let Some(ticket) = ticket else { return now + pause };
        let result = destroy_by_ticket(&self, &self.config.installation_id, &ticket, now).await;
        self.note(|| format!("destroys {node} by its ticket: {result:?}"));
        ticket.next_look(now, pause)
    }

    /// The next message of an agent is recorded. Whichever of those that wait has the turn: the order is that of their arrival.
    pub async fn deliver(&self, node: NodeId) {
        let in_order = self.with_object(node, |object| Rc::clone(&object.in_order));
        let _turn = in_order.lock().await;
        let Some((link, epoch, message)) = self.with_object(node, |object| object.said.pop_front()) else { return };
        pause().await;
        let is_open = |object: &Object| object.link.as_ref().is_some_and(|open| open.id == link);
        let has_gaps = |object: &Object| {
            object.link.as_ref().is_some_and(|open| open.id == link && open.recorded == Recorded::Gaps)
        };
        if self.with_object(node, |object| has_gaps(object)) {
            let _ = self.observe_link(node).await;
            return;
        }
        let is_hello = matches!(message, AgentMessage::Hello(_));
        let note = self.trace.as_ref().map(|_| format!("{message:?}"));
        self.hears(node, &message);
        let heard = agent_report(self, self.settings(), node, epoch, message).await;
        self.has_heard(node);
        match heard {
            Ok(driven) => {
                self.note(|| format!("{node} said {}: {}", note.unwrap_or_default(), told(&driven)));
                if is_hello {
                    self.note_recorded(node, link, Recorded::All);
                }
                self.apply(node, driven, None).await;
            }
            Err(error) if error.code == ErrorCode::Unavailable => {
                self.note_recorded(node, link, Recorded::Gaps);
                self.wake_object(node, self.now() + alarm::RETRY).await;
            }
            Err(_) if self.with_object(node, |object| is_open(object)) => self.close_link(node),
            Err(_) => {}
        }
    }

    fn note_recorded(&self, node: NodeId, link: u64, recorded: Recorded) {
        self.with_object(node, |object| {
            if let Some(open) = object.link.as_mut().filter(|open| open.id == link) {
                open.recorded = recorded;
            }
        });
    }

    /// Puts right what is recorded of the link.
    async fn observe_link(&self, node: NodeId) -> Result<()> {
        match self.with_object(node, |object| object.link.clone()) {
            None => link_closed(self, node, self.now()).await,
            Some(Link { recorded: Recorded::Nothing, opened_at, .. }) => link_closed(self, node, opened_at).await,
            Some(Link { recorded: Recorded::Gaps, id, .. }) => {
                link_closed(self, node, self.now()).await?;
                if self.with_object(node, |object| object.link.as_ref().is_some_and(|open| open.id == id)) {
                    self.close_link(node);
                }
                Ok(())
            }
            Some(Link { recorded: Recorded::All, .. }) => Ok(()),
        }
    }

    /// The link is noticed to have ended.
    pub async fn link_ended(&self, node: NodeId) {
        pause().await;
        if self.with_object(node, |object| object.link.is_none()) {
            let _ = link_lost(self, node).await;
        }
    }

    /// Ends the link, whoever ends it: its agent dials again.
    pub fn close_link(&self, node: NodeId) {
        let Some(link) = self.with_object(node, |object| object.link.take()) else { return };
        self.note(|| format!("the link of {node} ends"));
        self.begin(Job::LinkEnded(node));
        if let Some(machine) = self.machines.borrow_mut().get_mut(&link.instance) {
            machine.inbox.clear();
            self.begin(Job::Dial(link.instance));
        }
    }

    /// The object's process dies: what it was doing is dropped by whoever calls this, its memory is lost, its link ends.
    pub fn crash_object(&self, node: NodeId) {
        self.count(|figures| figures.crashes += 1);
        self.with_object(node, |object| {
            object.wakes = Wakes::default();
            object.said.clear();
            object.in_order = Rc::default();
            object.running = false;
        });
        self.close_link(node);
    }
}

fn told(driven: &Driven) -> String {
    let Driven { next_wake, to_agent, close_all, gone, refused, unwritten, .. } = driven;
    let mut text = format!("wake {next_wake:?}");
    for outgoing in to_agent {
        text.push_str(&format!(", {:?}", outgoing.message));
    }
    for (word, is) in [("close all", close_all), ("gone", gone), ("refused", refused), ("unwritten", unwritten)] {
        if *is {
            text.push_str(&format!(", {word}"));
        }
    }
    text
}
