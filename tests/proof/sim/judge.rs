//! What must hold: always, once all is calm, and at the end. Each breach names its invariant of ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use ringfence::domain::node::InstanceId;
use ringfence::domain::together;
use ringfence::domain::workspace::Workspace;
use ringfence::ports::Clock;
use ringfence::store::nodes::{self, NodeRow};
use ringfence::store::workspaces::{self, WorkspaceRow};
use ringfence::store::{all, first};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::time::UnixMillis;

use super::Sim;
use super::sky::foreign;
use crate::support::world::World;

/// How late anything may be while nothing keeps it from being done: a request's arming, a safety alarm and two retries.
pub const LATE_MS: i64 = 120_000;
/// How long the database may have been back before an object that had looked in vain looks again, and what was late is done.
const AWAY: Duration = Duration::from_secs(5 * 60 + 180);
/// How long anything that is on its way may be so, once all is calm.
const SETTLED_MS: i64 = 25 * 60_000;

/// Rules that the database itself keeps an eye on, whoever writes.
pub fn watch(world: &World) {
    let rule = |name: &str, when: &str, broken: &str| {
        world
            .p
            .db
            .execute(&format!(
                "CREATE TEMP TRIGGER IF NOT EXISTS judge_{name} {when}
                 BEGIN SELECT RAISE(ABORT, 'broken rule: {broken}'); END"
            ))
            .unwrap();
    };
    rule(
        "node_version",
        "BEFORE UPDATE OF state, step, deadline_at_ms, agent_epoch, policy, warm_since_ms ON nodes
         WHEN NEW.row_version <> OLD.row_version + 1",
        "I9 a node changes without its version",
    );
    rule(
        "workspace_version",
        "BEFORE UPDATE OF state, running, spec_generation, deadline_at_ms ON workspaces
         WHEN NEW.row_version <> OLD.row_version + 1",
        "I9 a workspace changes without its version",
    );
    rule(
        "gone_node",
        "BEFORE UPDATE OF state ON nodes WHEN OLD.state = 'gone' AND NEW.state <> 'gone'",
        "I4 it is back",
    );
    rule(
        "gone_workspace",
        "BEFORE UPDATE OF state ON workspaces WHEN OLD.state = 'gone' AND NEW.state <> 'gone'",
        "I4 it is back",
    );
    rule(
        "place_of_the_gone",
        "BEFORE INSERT ON node_slots WHEN (SELECT state FROM nodes WHERE id = NEW.node_id) = 'gone'",
        "I4 a place on what is gone",
    );
    rule("epoch", "BEFORE UPDATE OF agent_epoch ON nodes WHEN NEW.agent_epoch < OLD.agent_epoch", "I6 an old epoch");
    rule(
        "generation",
        "BEFORE UPDATE OF spec_generation ON workspaces WHEN NEW.spec_generation < OLD.spec_generation",
        "I10 an old generation",
    );
    rule(
        "hard_deadline",
        "BEFORE UPDATE OF hard_deadline_at_ms ON nodes WHEN NEW.hard_deadline_at_ms > OLD.hard_deadline_at_ms",
        "I4 a hard deadline is moved",
    );
    rule(
        "redemption",
        "BEFORE UPDATE OF public_key_jkt ON bootstrap_tokens WHEN OLD.public_key_jkt IS NOT NULL",
        "I3 a token is traded twice",
    );
    rule(
        "place",
        "BEFORE INSERT ON node_slots WHEN NEW.user_id <> (SELECT user_id FROM nodes WHERE id = NEW.node_id)",
        "I1 a place for somebody else",
    );
    // Nothing is killed while it works: the instant of the decision is the one that it stores.
    rule(
        "idle",
        "BEFORE UPDATE OF running ON workspaces
         WHEN OLD.running = 1 AND NEW.running = 0 AND NEW.failure_detail LIKE 'It was stopped because it was not used%'
           AND NEW.stop_asked_at_ms < MAX(COALESCE(OLD.keep_alive_until_ms, 0),
             MAX(NEW.active_until_ms, OLD.state_since_ms) + OLD.idle_timeout_secs * 1000)",
        "it was used, or kept, and is stopped for want of use",
    );
    rule(
        "idle_untold",
        "BEFORE UPDATE OF running ON workspaces
         WHEN OLD.running = 1 AND NEW.running = 0 AND NEW.failure_detail LIKE 'It was stopped because it was not used%'
           AND NEW.active_until_ms IS NULL",
        "nobody knows whether it was used, and it is stopped for want of use",
    );
    rule(
        "away",
        "BEFORE UPDATE OF running ON workspaces
         WHEN OLD.running = 1 AND NEW.running = 0 AND NEW.failure_detail LIKE '%has switched itself off%'
           AND (SELECT connected_at_ms FROM nodes WHERE id = OLD.node_id) IS NOT NULL",
        "its agent is there, and it is stopped as if it were not",
    );
    rule(
        "agent_lost",
        "BEFORE UPDATE OF state ON nodes
         WHEN OLD.state = 'ready' AND NEW.failure = 'agent_lost' AND OLD.connected_at_ms IS NOT NULL",
        "its agent is there, and the node ends as if it were not",
    );
}

impl Sim {
    /// Looked at whenever something was written, here or at the cloud.
    pub fn after_write(&self) {
        let digest = self.digest.get() ^ self.now().get().unsigned_abs();
        self.digest.set(digest.wrapping_mul(0x0000_0100_0000_01b3).wrapping_add(self.world.p.db.rows_written.get()));
        self.judge_limits();
        self.judge_admission();
        let cloud = &self.world.cloud;
        if cloud.machines.borrow().len() < 2 {
            return;
        }
        let db = &self.world.p.db;
        // Given up by its owner: the sweeps of its account look after its machine, for as long as it takes.
        let given_up = db.known("SELECT id FROM nodes WHERE state = 'gone' AND failure = 'forgotten'", []);
        self.given_up.borrow_mut().extend(given_up.iter().map(|id| id.parse::<NodeId>().unwrap()));
        let live = db.known("SELECT id FROM nodes WHERE state <> 'gone' AND deadline_at_ms IS NOT NULL", []);
        let mut live: BTreeSet<NodeId> = live.iter().map(|id| id.parse().unwrap()).collect();
        live.extend(self.given_up.borrow().iter());
        for machine in cloud.machines.borrow().values().filter(|machine| machine.id != foreign()) {
            if !machine.node().is_some_and(|node| live.contains(&node)) {
                self.breached(format!("I2: nobody looks after {} of {:?}", machine.id.0, machine.node()));
            }
        }
    }

    /// No limit is exceeded, whoever was admitted at the same time (I5). Where limits change, what was there before may be more.
    fn judge_limits(&self) {
        let Some(most) = self.most.filter(|_| !self.has_admin) else { return };
        let db = &self.world.p.db;
        let nodes = db.known("SELECT id FROM nodes WHERE state <> 'gone' LIMIT 100", []).len() as i64;
        let busiest =
            db.known("SELECT COUNT(*) || '' FROM node_slots GROUP BY user_id ORDER BY COUNT(*) DESC LIMIT 1", []);
        let places = busiest.first().map_or(0, |count| count.parse().unwrap());
        if nodes > most || places > most {
            self.breached(format!("I5: {nodes} nodes and {places} places of one user where {most} are allowed"));
        }
    }

    /// Nothing is going on: whatever is not over has a timer, and none has been missed.
    pub fn judge_timers(&self) {
        let now = self.now();
        for row in self.world.p.db.known("SELECT id FROM nodes WHERE state <> 'gone'", []) {
            let node: NodeId = row.parse().unwrap();
            if self.with_object(node, |object| object.alarm.is_none() && !object.running) {
                self.breached(format!("I7: {node} has no timer"));
            }
        }
        if now < self.db_away_until.get() + AWAY {
            return;
        }
        for row in self.world.p.db.known("SELECT id FROM nodes WHERE state <> 'gone'", []) {
            self.judge_alarm(row.parse().unwrap());
        }
        let late = now.get() - LATE_MS;
        let missed = self.world.p.db.known(
            "SELECT id || ', ' || state FROM nodes WHERE state <> 'gone' AND deadline_at_ms < ?1
             UNION ALL SELECT id || ', ' || state || ' on ' || COALESCE(node_id, 'no node')
             FROM workspaces WHERE state <> 'gone' AND deadline_at_ms < ?1",
            [late],
        );
        if let Some(id) = missed.first() {
            self.breached(format!("I7: a deadline of {id}, has passed and nothing has happened"));
        }
    }

    /// Its alarm comes when there is something to do, or soon after: nobody has to be late for that to be seen.
    fn judge_alarm(&self, id: NodeId) {
        let outcomes = self.world.p.db.batch_now(&[nodes::load(id), workspaces::of_node(id)]).unwrap();
        let mut outcomes = outcomes.into_iter();
        let row: NodeRow = first(outcomes.next()).unwrap().unwrap();
        let beside: Vec<Workspace> = all::<WorkspaceRow>(outcomes.next()).iter().map(WorkspaceRow::workspace).collect();
        let due =
            together::poll_timeout(&row.node(), &beside, &self.settings().timing).unwrap_or(UnixMillis::new(i64::MAX));
        let (alarm, running, failures) = self.with_object(id, |object| (object.alarm, object.running, object.failures));
        // One that could not look is pausing, and the database is what it waits for.
        let looks = !running && failures == 0;
        if looks && alarm.is_some_and(|alarm| alarm.get() > due.max(self.now()).get() + LATE_MS) {
            self.breached(format!("I7: {id} has something to do at {due}, and its alarm comes at {alarm:?}"));
        }
    }

    /// Nothing goes wrong any more, for longer than anything may take.
    pub fn judge_calm(&self) {
        let since = self.now().get() - SETTLED_MS;
        let stuck = self.world.p.db.texts(&format!(
            "SELECT id || ' ' || state FROM nodes
             WHERE state NOT IN ('ready', 'gone') AND state_since_ms < {since}
             UNION ALL SELECT id || ' ' || state FROM workspaces
             WHERE state NOT IN ('running', 'stopped', 'failed', 'gone') AND state_since_ms < {since}"
        ));
        if let Some(stuck) = stuck.first() {
            self.breached(format!("I4: {stuck} goes on for ever"));
        }
        for machine in self.machines.borrow().values() {
            self.judge_machine(machine);
        }
    }

    /// Ready nodes whose machine is not there.
    pub fn without_a_machine(&self) -> Vec<NodeId> {
        let ready = self.world.p.db.known("SELECT id FROM nodes WHERE state = 'ready'", []);
        let ready = ready.iter().map(|id| id.parse::<NodeId>().unwrap());
        ready.filter(|node| self.world.cloud.marked(*node).is_empty()).collect()
    }

    /// What runs on a ready node's machine is what was asked for, and nothing else.
    fn judge_machine(&self, machine: &super::agents::Machine) {
        let (node, since) = (machine.node, self.now().get() - SETTLED_MS);
        let linked = self.with_object(node, |object| object.link.is_some());
        let ready = self.world.p.db.count(&format!(
            "SELECT COUNT(*) FROM nodes WHERE id = '{node}' AND state = 'ready' AND state_since_ms < {since}"
        ));
        // What is on its way is not there yet: a stop for want of use may have been asked for just now.
        let on_their_way = self.world.p.db.count(&format!(
            "SELECT COUNT(*) FROM workspaces WHERE node_id = '{node}' AND (state IN ('requested', 'placing', 'creating', 'deleting')
               OR (state IN ('running', 'stopped', 'failed') AND deadline_at_ms IS NOT NULL))"
        ));
        if ready == 0 || !linked || on_their_way > 0 {
            return;
        }
        let asked = self.world.p.db.texts(&format!(
            "SELECT id || CASE WHEN running THEN ' Running' ELSE ' Stopped' END || ' ' || spec_generation
             FROM workspaces WHERE node_id = '{node}' AND state IN ('running', 'stopped') ORDER BY id"
        ));
        let there = machine.agent.workspaces.iter();
        let there: Vec<String> =
            there.map(|(id, (generation, phase))| format!("{id} {phase:?} {generation}")).collect();
        if asked != there {
            self.breached(format!("I10: {node} was asked for {asked:?} and has {there:?}"));
        }
    }

    /// How everything has come to its end. The last sweeps, a month later, leave no trace of it.
    pub fn judge_history(&self) {
        if self.breach.borrow().is_none() {
            self.judge_ends_in_time();
            self.world.assert_history();
        }
    }

    /// Everything has come to its end.
    pub fn judge_end(&self) {
        if self.breach.borrow().is_some() {
            return;
        }
        let db = &self.world.p.db;
        let nodes = db.texts("SELECT id || ' ' || state FROM nodes WHERE state <> 'gone'");
        if !nodes.is_empty() {
            self.breached(format!("I4: all is quiet, and still {nodes:?}"));
        }
        let mut left: Vec<InstanceId> = self.world.cloud.machines.borrow().keys().cloned().collect();
        if db.count("SELECT COUNT(*) FROM provider_credentials WHERE deleted_at_ms IS NULL") == 0 {
            // Whoever gives up a machine and takes back the key to it too leaves it to itself.
            left.retain(|id| !self.is_given_up(id));
        }
        if left != [foreign()] {
            self.breached(format!("I2: of ours none and of others' one should be left: {left:?}"));
        }
        let workspaces = db.texts("SELECT id || ' ' || state FROM workspaces WHERE state NOT IN ('gone', 'failed')");
        if !workspaces.is_empty() {
            self.breached(format!("I4: all is quiet, and still {workspaces:?}"));
        }
        if db.count("SELECT COUNT(*) FROM node_slots") > 0 {
            self.breached("I5: places are still taken".into());
        }
        let twice = db.texts("SELECT name FROM workspaces GROUP BY user_id, name HAVING COUNT(*) > 1");
        if !twice.is_empty() {
            self.breached(format!("I10: asked for once and made twice: {twice:?}"));
        }
        self.world.assert_rules();
        let mut hasher = DefaultHasher::new();
        (self.digest.get(), self.chance.next(), db.texts("SELECT id || row_version FROM nodes ORDER BY id"))
            .hash(&mut hasher);
        self.digest.set(hasher.finish());
        self.count(|figures| {
            let number = |sql| db.count(sql).unsigned_abs();
            figures.nodes = number("SELECT COUNT(*) FROM nodes");
            figures.workspaces = number("SELECT COUNT(*) FROM workspaces");
            figures.forgotten = number("SELECT COUNT(*) FROM nodes WHERE failure = 'forgotten'");
            figures.ready = number(
                "SELECT COUNT(*) FROM events WHERE kind = 'node_state' AND json_extract(event_json, '$.state') = 'ready'",
            );
        });
    }

    /// Whether the machine is one whose node was given up.
    pub fn is_given_up(&self, id: &InstanceId) -> bool {
        let node = self.world.cloud.machines.borrow().get(id).and_then(|machine| machine.node());
        node.is_some_and(|node| self.given_up.borrow().contains(&node))
    }
}
