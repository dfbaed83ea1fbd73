//! Machines and their agents: they boot or do not, trade their one-use token, dial, lose links, restart, repeat themselves,
//! and their containers end when they like.

use std::collections::VecDeque;
use std::time::Duration;

use ringfence::app::agent_report::key_conflict;
use ringfence::domain::node::InstanceId;
use ringfence::ports::{Clock, Db, Entropy};
use ringfence::provider::CreateInstance;
use ringfence::store::bootstrap::{self, NodeAgentRow, RedemptionRow};
use ringfence::store::{first, one};
use ringfence_protocol::ids::{JwtId, NodeId};
use ringfence_protocol::link::{
    Activity, AgentMessage, BootFailedReport, ControlMessage, Facts, Progress, WorkspacePhase, WorkspaceReport,
};
use ringfence_protocol::state::{ActivityCause, BootFailure, EngineChoice, EngineKind, NodeState, PostureOutcome};

use super::Sim;
use super::object::{Link, Recorded};
use super::tasks::{Job, pause, sleep};
use crate::support::agent::{FakeAgent, posture};

/// Dials of one agent, at most: a world in which one never stops is a mistake of the world.
const MAX_DIALS: u32 = 4000;

/// A machine.
pub struct Machine {
    pub node: NodeId,
    token: JwtId,
    key: String,
    /// The epoch of its credentials, once it has some.
    epoch: Option<i64>,
    pub agent: FakeAgent,
    pub inbox: VecDeque<(u64, ControlMessage)>,
    /// It never gets to run its agent.
    is_dead: bool,
    dials: bool,
    dialled: u32,
    last_said: Option<AgentMessage>,
}

impl Machine {
    pub fn new(sim: &Sim, order: &CreateInstance<'_>) -> Self {
        let agent = match sim.config.engine {
            EngineChoice::Unconfined => FakeAgent::default(),
            EngineChoice::Containers => FakeAgent {
                engine: Some(EngineKind::Podman),
                posture: Some(posture(PostureOutcome::Pass)),
                ..FakeAgent::default()
            },
        };
        Self {
            node: order.mark.node,
            token: order.user_data.parse().unwrap(),
            key: sim.id::<ringfence_protocol::ids::kind::Jwt>().to_string(),
            epoch: None,
            agent,
            inbox: VecDeque::new(),
            is_dead: sim.goes_wrong() && sim.chance.one_in(3),
            dials: false,
            dialled: 0,
            last_said: None,
        }
    }
}

impl Sim {
    pub fn with_machine<T>(&self, id: &InstanceId, act: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        self.machines.borrow_mut().get_mut(id).map(act)
    }

    pub async fn boot(&self, id: InstanceId) {
        sleep(self, Duration::from_millis(self.chance.between(2000, 40_000))).await;
        let Some((node, token, key)) = self.with_machine(&id, |m| (m.node, m.token, m.key.clone())) else { return };
        if self.with_machine(&id, |machine| machine.is_dead) != Some(false) {
            return;
        }
        // It asks again until it is answered: an answer can be lost.
        for _ in 0..40 {
            match self.trade(node, token, &key).await {
                Some(Some(epoch)) => {
                    self.with_machine(&id, |machine| machine.epoch = Some(epoch));
                    return self.begin(Job::Dial(id));
                }
                Some(None) => return self.note(|| format!("the machine {} of {node} is refused", id.0)),
                None => sleep(self, Duration::from_secs(10)).await,
            }
            if !self.machines.borrow().contains_key(&id) {
                return;
            }
        }
    }

    /// Trades a bootstrap token: `None` when there was no answer, otherwise the epoch of the credentials, or a refusal.
    async fn trade(&self, node: NodeId, token: JwtId, key: &str) -> Option<Option<i64>> {
        let row: Option<NodeAgentRow> = one(self, bootstrap::node_agent(node)).await.ok()?;
        let Some(row) = row.filter(is_live) else { return Some(None) };
        let statements =
            vec![bootstrap::consume(token, node, key, "x", self.now()), bootstrap::redemption(token, node)];
        let outcomes = self.batch(statements).await.ok()?;
        let winner: Option<RedemptionRow> = first(outcomes.into_iter().nth(1)).ok()?;
        Some(winner.filter(|winner| winner.public_key_jkt == key).map(|_| row.agent_epoch))
    }

    /// Somebody else comes with the machine's token. Whoever is second is not trusted.
    pub async fn second_key(&self, node: NodeId) {
        pause().await;
        let token = self.machines.borrow().values().find(|machine| machine.node == node).map(|machine| machine.token);
        let Some(token) = token else { return };
        let row: Option<NodeAgentRow> = one(self, bootstrap::node_agent(node)).await.ok().flatten();
        if row.is_some_and(|row| is_live(&row)) && self.trade(node, token, "another key").await == Some(None) {
            let _ = key_conflict(self, self.settings(), node).await;
        }
    }

    /// Dials until it has a link, its machine is gone or the world ends.
    pub async fn dial(&self, id: InstanceId) {
        if self.with_machine(&id, |machine| std::mem::replace(&mut machine.dials, true)) != Some(false) {
            return;
        }
        for attempt in 0..MAX_DIALS {
            let pause = Duration::from_millis(self.chance.between(200, 1000 << attempt.min(6)));
            sleep(self, pause).await;
            let Some((node, Some(epoch))) = self.with_machine(&id, |machine| (machine.node, machine.epoch)) else {
                return;
            };
            self.with_machine(&id, |machine| machine.dialled += 1);
            // What opening a link asks: whether the node lives, and the epoch of the token still counts.
            let Ok(row) = one::<NodeAgentRow>(self, bootstrap::node_agent(node)).await else { continue };
            if !row.is_some_and(|row| is_live(&row) && row.agent_epoch == epoch) {
                // After a while its dead-man switch ends the work; the machine stays.
                if attempt > 60 {
                    return;
                }
                continue;
            }
            if self.machines.borrow().contains_key(&id) {
                self.open_link(&id, node, epoch);
            }
            return;
        }
    }

    fn open_link(&self, id: &InstanceId, node: NodeId, epoch: i64) {
        let link = self.links.get() + 1;
        self.links.set(link);
        self.remember(node);
        // A newer link replaces an older one.
        self.with_object(node, |object| {
            object.link = Some(Link {
                id: link,
                epoch,
                instance: id.clone(),
                opened_at: self.now(),
                recorded: Recorded::Nothing,
                silent_since: None,
            });
        });
        let greeting = self.with_machine(id, |machine| {
            machine.dials = false;
            machine.inbox.clear();
            let mut messages = vec![machine.agent.hello()];
            messages.extend(machine.agent.posture.clone().map(AgentMessage::NodePosture));
            messages.push(AgentMessage::Ready);
            messages
        });
        self.note(|| format!("the agent of {node} opens link {link}"));
        for message in greeting.unwrap_or_default() {
            self.say(id, message);
        }
    }

    /// The agent says something, if it has a link.
    pub fn say(&self, id: &InstanceId, message: AgentMessage) {
        let Some(node) = self.with_machine(id, |machine| machine.node) else { return };
        let link = self.with_object(node, |object| object.link.clone());
        let Some(link) = link.filter(|link| link.instance == *id) else { return };
        self.with_machine(id, |machine| machine.last_said = Some(message.clone()));
        self.with_object(node, |object| object.said.push_back((link.id, link.epoch, message)));
        self.begin(Job::Deliver(node));
    }

    /// The agent takes the next message, does what it asks and answers.
    pub async fn obey(&self, id: InstanceId, link: u64) {
        if self.chance.one_in(2) {
            sleep(self, Duration::from_millis(self.chance.between(5, 3000))).await;
        }
        let answer = self.with_machine(&id, |machine| {
            // What a newer link has brought is for others to take.
            machine.inbox.front().filter(|(of, _)| *of == link)?;
            let (_, message) = machine.inbox.pop_front()?;
            // A hook that saves may hang: then there is no answer, and the machine ends all the same.
            let hangs = message == ControlMessage::SaveAll && self.chance.one_in(4);
            if hangs { None } else { machine.agent.obey(&message) }
        });
        if let Some(answer) = answer.flatten() {
            self.say(&id, answer);
        }
    }

    /// Something happens on a machine by itself.
    pub fn mishap_on_a_machine(&self) {
        let ids: Vec<InstanceId> = self.machines.borrow().keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let id = self.chance.pick(&ids).clone();
        let Some(node) = self.with_machine(&id, |machine| machine.node) else { return };
        match self.chance.below(19) {
            0 | 1 => self.close_link(node),
            2 => {
                let clumsy = self.chance.one_in(2);
                self.with_machine(&id, |machine| machine.agent.clumsy = clumsy);
            }
            3 => {
                let mute = self.chance.one_in(3);
                self.with_machine(&id, |machine| machine.agent.mute = mute);
            }
            4..=6 => self.container_ends(&id),
            7 => {
                // Late, and said again.
                let again = self.with_machine(&id, |machine| machine.last_said.clone());
                if let Some(message) = again.flatten() {
                    self.say(&id, message);
                }
            }
            8 => self.progress(&id),
            9 => {
                let percent = self.chance.below(100) as f32;
                let facts = Facts {
                    cpu_percent: percent,
                    memory_percent: 100.0 - percent,
                    memory_total_bytes: 1 << 32,
                    disk_percent: 10.0,
                    disk_total_bytes: 1 << 36,
                    measured_at: self.now(),
                };
                self.say(&id, AgentMessage::Facts(facts));
            }
            10 if self.chance.one_in(4) => self.say(&id, AgentMessage::Quarantine { detail: "rules are gone".into() }),
            11 if self.chance.one_in(4) => {
                let report = BootFailedReport { failure: BootFailure::EngineUnavailable, detail: "no engine".into() };
                self.say(&id, AgentMessage::BootFailed(report));
            }
            12 if self.chance.one_in(4) => self.begin(Job::SecondKey(node)),
            14..=16 => self.used(&id),
            17 => self.measured(&id),
            // By hand, at the provider's console.
            13 if self.chance.one_in(4) => self.vanish(&id),
            _ => {}
        }
    }

    fn container_ends(&self, id: &InstanceId) {
        let failed = self.chance.one_in(2);
        let phase = if failed { WorkspacePhase::Failed } else { WorkspacePhase::Stopped };
        let report = self.with_machine(id, |machine| {
            let running: Vec<_> = machine.agent.workspaces.iter().map(|(id, known)| (*id, known.0)).collect();
            if running.is_empty() {
                return None;
            }
            let (workspace_id, spec_generation) = *self.chance.pick(&running);
            machine.agent.workspaces.insert(workspace_id, (spec_generation, phase));
            Some(WorkspaceReport { workspace_id, spec_generation, phase, failure: None, detail: None, activity: None })
        });
        if let Some(report) = report.flatten() {
            self.say(id, AgentMessage::Workspace(report));
        }
    }

    /// The machine is measured again: what must hold does, or not.
    fn measured(&self, id: &InstanceId) {
        let outcome = if self.chance.one_in(2) { PostureOutcome::Fail } else { PostureOutcome::Pass };
        let measured = self.with_machine(id, |machine| {
            machine.agent.posture.as_mut().map(|known| {
                *known = posture(outcome);
                known.clone()
            })
        });
        if let Some(posture) = measured.flatten() {
            self.say(id, AgentMessage::NodePosture(posture));
        }
    }

    /// Somebody types, or an assistant is at work for a while.
    fn used(&self, id: &InstanceId) {
        let first = self.with_machine(id, |machine| machine.agent.workspaces.keys().next().copied());
        let Some(workspace_id) = first.flatten() else { return };
        let lease = Duration::from_secs(self.chance.between(1, 3600));
        let activity = Activity {
            at: self.now(),
            cause: ActivityCause::TerminalInput,
            lease_ends_at: self.chance.one_in(2).then(|| self.now() + lease),
        };
        self.with_machine(id, |machine| machine.agent.uses.insert(workspace_id, activity));
        self.say(id, AgentMessage::Activity { workspace_id, activity });
    }

    fn progress(&self, id: &InstanceId) {
        let first = self.with_machine(id, |machine| machine.agent.workspaces.keys().next().copied());
        if let Some(workspace_id) = first.flatten() {
            let step = "pulling".into();
            let progress = Progress { workspace_id, step, detail: None, done_bytes: None, total_bytes: None };
            self.say(id, AgentMessage::Progress(progress));
        }
    }
}

fn is_live(row: &NodeAgentRow) -> bool {
    match row.state {
        NodeState::Provisioning | NodeState::Booting | NodeState::Ready => true,
        NodeState::Requested | NodeState::Destroying | NodeState::Gone | NodeState::Failed | NodeState::Quarantined => {
            false
        }
    }
}
