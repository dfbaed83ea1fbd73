//! Nothing ends before its time. Where an end is decided and stored in one turn the database keeps an eye on it: the instant of the
//! decision is the one that is stored. What takes several states is looked at in the end, in what was recorded of them.

use ringfence::domain::lifecycle::Timing;
use ringfence::ports::Clock;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::{AgentMessage, WorkspacePhase};

use super::Sim;
use super::judge::LATE_MS;
use crate::support::world::World;

/// An agent's hello counts from when it begins to be recorded to when it is: which of its turns has read it nobody can see.
const BEING_RECORDED: i64 = i64::MAX;

/// Rules of waits, with the times of this world and with what agents have said in it, which is nothing yet.
pub fn watch(world: &World, timing: &Timing) {
    let millis = |time: std::time::Duration| time.as_millis();
    world
        .p
        .db
        .execute(&format!(
            "CREATE TEMP TABLE IF NOT EXISTS wait (creating, placing, command, stopping, save, budget_grace, off_after);
             CREATE TEMP TABLE IF NOT EXISTS said_absent (workspace_id TEXT PRIMARY KEY);
             CREATE TEMP TABLE IF NOT EXISTS said_saved (node_id TEXT PRIMARY KEY);
             CREATE TEMP TABLE IF NOT EXISTS said_hello (node_id TEXT PRIMARY KEY, at_ms INTEGER, known TEXT);
             DELETE FROM wait; DELETE FROM said_absent; DELETE FROM said_saved; DELETE FROM said_hello;
             INSERT INTO wait VALUES ({}, {}, {}, {}, {}, {}, {});",
            millis(timing.creating),
            millis(timing.placing),
            millis(timing.command),
            millis(timing.stopping),
            millis(timing.save),
            millis(timing.budget_grace),
            millis(timing.off_after()),
        ))
        .unwrap();
    for (name, when, broken) in [WORKSPACES, NODES].concat() {
        world
            .p
            .db
            .execute(&format!(
                "CREATE TEMP TRIGGER IF NOT EXISTS early_{name} BEFORE UPDATE OF {when}
                 BEGIN SELECT RAISE(ABORT, 'broken rule: I4 {broken}'); END"
            ))
            .unwrap();
    }
}

/// A name, of which change when, and what is broken then.
type Rule = (&'static str, &'static str, &'static str);

const WORKSPACES: &[Rule] = &[
    (
        "keep",
        "state ON workspaces
         WHEN NEW.state = 'deleting' AND OLD.state <> 'deleting' AND NEW.failure_detail IS NOT 'Its owner deleted it.'
           AND (OLD.state <> 'stopped' OR OLD.running = 1 OR NEW.state_since_ms < MAX(COALESCE(NEW.keep_alive_until_ms, 0),
             OLD.state_since_ms + OLD.stop_keep_secs * 1000))",
        "it is to be kept, or has not been stopped for long enough, and is deleted with its files",
    ),
    (
        "creation",
        "state ON workspaces
         WHEN OLD.state <> 'failed' AND NEW.failure = 'create_timeout' AND NEW.state_since_ms < MAX(OLD.deadline_at_ms,
           OLD.state_since_ms + (SELECT CASE OLD.state WHEN 'creating' THEN creating ELSE placing END FROM wait))",
        "it may still be made, and fails",
    ),
    (
        "removal",
        "state ON workspaces
         WHEN OLD.state = 'deleting' AND NEW.state = 'gone'
           AND NEW.state_since_ms < OLD.state_since_ms + (SELECT command FROM wait)
           AND (SELECT state FROM nodes WHERE id = OLD.node_id) <> 'gone'
           AND NOT EXISTS (SELECT 1 FROM said_absent WHERE workspace_id = OLD.id)
           AND NOT EXISTS (SELECT 1 FROM said_hello WHERE node_id = OLD.node_id AND at_ms >= OLD.state_since_ms
             AND instr(known, OLD.id) = 0)",
        "nobody has said that it is removed, and it counts as gone",
    ),
    (
        "stop",
        "state ON workspaces
         WHEN OLD.state = 'running' AND NEW.state = 'stopped'
           AND NEW.failure_detail LIKE '%does not confirm that it has stopped.'
           AND NEW.state_since_ms < COALESCE(OLD.stop_asked_at_ms, NEW.state_since_ms) + (SELECT stopping FROM wait)",
        "it was asked to stop just now, and counts as stopped",
    ),
    (
        "away",
        "running ON workspaces
         WHEN OLD.running = 1 AND NEW.running = 0 AND NEW.failure_detail LIKE '%has switched itself off%'
           AND NEW.state_since_ms < (SELECT off_after FROM wait) + (SELECT CASE WHEN last_hello_at_ms IS NULL THEN state_since_ms
             ELSE MAX(last_hello_at_ms, COALESCE(disconnected_at_ms, 0)) END FROM nodes WHERE id = OLD.node_id)",
        "its agent was there just now, and its machine counts as switched off",
    ),
];

const NODES: &[Rule] = &[
    (
        "agent_lost",
        "state ON nodes
         WHEN OLD.state = 'ready' AND NEW.failure = 'agent_lost'
           AND NEW.state_since_ms < (SELECT off_after FROM wait) + CASE WHEN OLD.last_hello_at_ms IS NULL THEN OLD.state_since_ms
             ELSE MAX(OLD.last_hello_at_ms, COALESCE(OLD.disconnected_at_ms, 0)) END",
        "its agent was there just now, and its machine counts as switched off",
    ),
    (
        // Its workspaces are written after it.
        "budget",
        "state ON nodes
         WHEN OLD.state = 'ready' AND NEW.state <> 'ready' AND NEW.failure = 'budget_spent'
           AND NEW.state_since_ms < COALESCE(OLD.budget_spent_at_ms, NEW.state_since_ms) + (SELECT budget_grace FROM wait)
           AND EXISTS (SELECT 1 FROM workspaces WHERE node_id = OLD.id AND state IN ('creating', 'running', 'stopped'))",
        "it has workspaces, and ends before the grace of its budget",
    ),
    (
        // A link that is newer than the decision was not there for it.
        "save",
        "step ON nodes
         WHEN OLD.state = 'destroying' AND OLD.step = 'save' AND NEW.step IS NOT 'save'
           AND COALESCE(NEW.next_attempt_at_ms, 0) < OLD.state_since_ms + (SELECT save FROM wait)
           AND OLD.connected_at_ms < COALESCE(NEW.next_attempt_at_ms, 0)
           AND NOT EXISTS (SELECT 1 FROM said_saved WHERE node_id = OLD.id)",
        "its workspaces save, and it is deleted",
    ),
];

impl Sim {
    /// An agent is about to be heard: what it says may end something before its time.
    pub fn hears(&self, node: NodeId, message: &AgentMessage) {
        let db = &self.world.p.db;
        if let AgentMessage::SavedAll = message {
            db.known("INSERT OR IGNORE INTO said_saved VALUES (?1) RETURNING node_id", [node.to_string()]);
        } else if let AgentMessage::Workspace(report) = message
            && report.phase == WorkspacePhase::Absent
        {
            let absent = [report.workspace_id.to_string()];
            db.known("INSERT OR IGNORE INTO said_absent VALUES (?1) RETURNING workspace_id", absent);
        } else if let AgentMessage::Hello(hello) = message {
            let known: Vec<String> = hello.workspaces.iter().map(|it| it.workspace_id.to_string()).collect();
            let hello = (node.to_string(), BEING_RECORDED, known.join(" "));
            db.known("INSERT OR REPLACE INTO said_hello VALUES (?1, ?2, ?3) RETURNING node_id", hello);
        }
    }

    /// It was heard.
    pub fn has_heard(&self, node: NodeId) {
        let sql = "UPDATE said_hello SET at_ms = ?2 WHERE node_id = ?1 AND at_ms = ?3 RETURNING node_id";
        self.world.p.db.known(sql, (node.to_string(), self.now().get(), BEING_RECORDED));
    }

    /// No node ended before its time, or long after it.
    pub fn judge_ends_in_time(&self) {
        let db = &self.world.p.db;
        let timing = &self.settings().timing;
        // A state, the state and failure that only time may lead to, and how much of it.
        let waits = [
            ("requested", "failed", "request_timeout", timing.requested),
            ("provisioning", "failed", "provisioning_timeout", timing.provisioning),
            ("booting", "failed", "boot_timeout", timing.booting),
            ("ready", "destroying", "idle", timing.idle_timeout),
            ("quarantined", "destroying", "key_conflict", timing.quarantined),
            ("quarantined", "destroying", "firewall_lost", timing.quarantined),
        ];
        for (from, to, failure, wait) in waits {
            let early = db.texts(&format!(
                "SELECT n.id FROM nodes n
                 JOIN events a ON a.node_id = n.id AND a.kind = 'node_state' AND json_extract(a.event_json, '$.state') = '{from}'
                 JOIN events b ON b.node_id = n.id AND b.kind = 'node_state' AND json_extract(b.event_json, '$.state') = '{to}'
                 WHERE n.failure = '{failure}' AND b.at_ms - a.at_ms < {}",
                wait.as_millis()
            ));
            if !early.is_empty() {
                self.breached(format!("I4: {failure} before its time: {early:?}"));
            }
        }
        let early = db.texts(
            "SELECT n.id FROM nodes n JOIN events e ON e.node_id = n.id AND e.kind = 'node_state'
               AND json_extract(e.event_json, '$.state') = 'destroying'
             WHERE n.failure = 'lifetime_over' AND e.at_ms < n.hard_deadline_at_ms",
        );
        if !early.is_empty() {
            self.breached(format!("I4: a life was over before its end: {early:?}"));
        }
        let outlived = db.texts(&format!(
            "SELECT n.id FROM nodes n JOIN events e ON e.node_id = n.id AND e.kind = 'node_state'
               AND json_extract(e.event_json, '$.state') IN ('requested', 'provisioning', 'booting', 'ready')
             WHERE e.at_ms > n.hard_deadline_at_ms + {LATE_MS}"
        ));
        if !outlived.is_empty() {
            self.breached(format!("I4: a life went on after its end: {outlived:?}"));
        }
        let unsettled = db.texts(&format!(
            "SELECT n.id FROM nodes n JOIN events e ON e.node_id = n.id AND e.kind = 'node_state'
               AND json_extract(e.event_json, '$.state') = 'gone'
             WHERE n.provider_instance_id IS NULL AND n.create_attempts > 0 AND n.failure <> 'forgotten'
               AND e.at_ms < n.last_create_attempt_at_ms + {}",
            timing.settle.as_millis()
        ));
        if !unsettled.is_empty() {
            self.breached(format!("I2: given up before lists have settled: {unsettled:?}"));
        }
    }
}
