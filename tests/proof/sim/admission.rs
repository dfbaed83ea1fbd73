//! What must hold of everything that is let in: looked at when the batch has been written that lets it in, and counted anew here
//! from rows, one by one.

use ringfence::domain::quota::month_start;
use ringfence::ports::Clock;
use ringfence::provider::machine_name;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::{LimitMeasure, LimitScope};
use serde::Deserialize;

use super::Sim;
use crate::support::world::World;

/// A node, as far as limits look at it.
#[derive(Deserialize)]
struct Counted {
    id: NodeId,
    user: String,
    tenant: String,
    isolation: String,
    state: String,
    state_since: i64,
    price: i64,
    dearest: i64,
    first_create: Option<i64>,
    failure: Option<String>,
    places: i64,
    /// Whether there was a machine, as its cloud knows: what was never made has cost nothing.
    #[serde(skip)]
    was_made: bool,
}

/// A user, with their tenant: whose limits count.
struct Owner<'a> {
    user: &'a str,
    tenant: &'a str,
}

impl Owner<'_> {
    /// Whom limits of that scope are set for.
    fn subject(&self, scope: LimitScope) -> &str {
        match scope {
            LimitScope::User => self.user,
            LimitScope::Tenant => self.tenant,
            LimitScope::Installation => "",
        }
    }
}

impl Counted {
    /// Whether limits of that scope that hold for the owner count it.
    fn counts_for(&self, owner: &Owner<'_>, scope: LimitScope) -> bool {
        self.owner().subject(scope) == owner.subject(scope)
    }

    fn owner(&self) -> Owner<'_> {
        Owner { user: &self.user, tenant: &self.tenant }
    }

    fn is_gone(&self) -> bool {
        self.state == "gone"
    }

    fn lives(&self) -> bool {
        ["requested", "provisioning", "booting", "ready"].contains(&self.state.as_str())
    }

    /// What it has cost since then, in millionths: each begun one counts.
    fn spent(&self, since: i64, now: i64) -> i64 {
        let Some(first) = self.first_create else { return 0 };
        let until = if self.is_gone() { self.state_since } else { now };
        if self.is_gone() && (!self.was_made || until <= since) {
            return 0;
        }
        let micros_millis = self.price * (until - first.max(since)).max(0);
        micros_millis / 3_600_000 + i64::from(micros_millis % 3_600_000 > 0)
    }
}

/// Has the database note what is let in. What a batch that fails has noted is undone with it.
pub fn watch(world: &World) {
    let note = |name: &str, when: &str, what: &str, node: &str| {
        format!(
            "CREATE TEMP TRIGGER IF NOT EXISTS admission_{name} {when}
             BEGIN INSERT INTO let_in VALUES ('{what} ' || NEW.{node} || ' ' || NEW.user_id); END;"
        )
    };
    let sql = [
        "CREATE TEMP TABLE IF NOT EXISTS let_in (what TEXT NOT NULL); DELETE FROM let_in;".to_owned(),
        note("node", "AFTER INSERT ON nodes", "node", "id"),
        note("place", "AFTER INSERT ON node_slots", "place", "node_id"),
        note(
            "call",
            "AFTER UPDATE OF create_attempts ON nodes WHEN NEW.create_attempts > OLD.create_attempts",
            "call",
            "id",
        ),
        "CREATE TEMP TRIGGER IF NOT EXISTS admission_posture BEFORE INSERT ON node_slots
         WHEN EXISTS (SELECT 1 FROM nodes n WHERE n.id = NEW.node_id AND n.state = 'ready' AND n.engine_choice = 'containers'
           AND NOT (COALESCE(n.posture_holds, 0) = 1 AND n.posture_epoch = n.agent_epoch))
         BEGIN SELECT RAISE(ABORT, 'broken rule: a place where what must hold does not'); END;"
            .to_owned(),
    ];
    world.p.db.execute(&sql.concat()).unwrap();
}

impl Sim {
    /// Something was written: whatever it has let in, there must be room for, and nobody may have said that there is none.
    pub fn judge_admission(&self) {
        let db = &self.world.p.db;
        let let_in = db.known("SELECT what FROM let_in", []);
        if let_in.is_empty() {
            return;
        }
        db.known("DELETE FROM let_in RETURNING what", []);
        let is_paused = !db.known("SELECT name FROM switches", []).is_empty();
        for noted in &let_in {
            let words: Vec<&str> = noted.split(' ').collect();
            let (what, node, user) = (words[0], words[1].parse::<NodeId>().unwrap(), words[2]);
            if what != "place" && is_paused {
                self.breached(format!("a {what} of {node} while no machines are made"));
            }
            match what {
                "node" => {
                    self.judge_pool(node);
                    self.judge_room(user, Some(node));
                }
                "place" => self.judge_room(user, None),
                _ => {}
            }
        }
    }

    /// No limit is exceeded by the place that was let in, or by the node, as limits are at that moment (I5). Those that it adds nothing
    /// to may be lower by now than what was there before.
    fn judge_room(&self, user: &str, node: Option<NodeId>) {
        use LimitMeasure::{CostPerHour, CostPerMonth, EphemeralWorkspaces, Nodes, Workspaces};
        if self.most.is_none() && !self.has_admin {
            return;
        }
        let all = self.counted();
        let (now, month) = (self.now(), month_start(self.now()).get());
        let ephemeral = |node: &Counted| node.isolation == "ephemeral";
        let is_ephemeral = all.iter().any(|made| node == Some(made.id) && ephemeral(made));
        let adds_to = |measure| match measure {
            Workspaces => node.is_none(),
            EphemeralWorkspaces => is_ephemeral,
            Nodes | CostPerHour | CostPerMonth => node.is_some(),
        };
        let tenant = self.world.p.db.known("SELECT tenant_id FROM users WHERE id = ?1", [user]);
        let owner = Owner { user, tenant: &tenant[0] };
        for scope in LimitScope::ALL.iter().copied() {
            let of = || all.iter().filter(|node| node.counts_for(&owner, scope));
            let there = || of().filter(|node| !node.is_gone());
            let used = [
                (Workspaces, there().map(|node| node.places).sum::<i64>()),
                (Nodes, there().count() as i64),
                (EphemeralWorkspaces, there().filter(|node| ephemeral(node)).count() as i64),
                (CostPerHour, there().map(|node| node.dearest).sum()),
                // A budget that is spent to the last millionth admits nothing.
                (CostPerMonth, of().map(|node| node.spent(month, now.get())).sum::<i64>() + 1),
            ];
            for (measure, used) in used.into_iter().filter(|(measure, _)| adds_to(*measure)) {
                if let Some(most) = self.limit(scope, &owner, measure).filter(|most| used > *most) {
                    self.breached(format!("I5: {used} of {measure} of {scope} where {most} are allowed"));
                }
            }
        }
    }

    /// What is set for one of them goes before what is set for each, and that before what is configured.
    fn limit(&self, scope: LimitScope, owner: &Owner<'_>, measure: LimitMeasure) -> Option<i64> {
        let sql = "SELECT amount || '' FROM limits WHERE scope = ?1 AND subject_id IN (?2, '') AND measure = ?3
             ORDER BY subject_id DESC";
        let set = self.world.p.db.known(sql, [scope.as_str(), owner.subject(scope), measure.as_str()]);
        set.first().map(|amount| amount.parse().unwrap()).or_else(|| self.settings().limits.get(scope, measure))
    }

    fn counted(&self) -> Vec<Counted> {
        let rows = self.world.p.db.known(
            "SELECT json_object('id', n.id, 'user', n.user_id, 'tenant', n.tenant_id, 'isolation', n.isolation, 'state', n.state,
               'state_since', n.state_since_ms, 'price', n.price_micros_per_hour,
               'dearest', COALESCE(n.dearest_micros_per_hour, n.price_micros_per_hour),
               'first_create', n.first_create_attempt_at_ms, 'failure', n.failure,
               'places', (SELECT COUNT(*) FROM node_slots s WHERE s.node_id = n.id)) FROM nodes n",
            [],
        );
        let ever = self.world.cloud.ever.borrow();
        let counted = |row: &String| {
            let mut node: Counted = serde_json::from_str(row).unwrap();
            // What was given up before it was seen is not counted: nobody knows of it.
            node.was_made = node.failure.as_deref() != Some("forgotten") && ever.contains(&machine_name(node.id));
            node
        };
        rows.iter().map(counted).collect()
    }

    /// A node without a workspace is made for a pool that is short of one, and for nothing else but in place of a dedicated one.
    fn judge_pool(&self, node: NodeId) {
        let db = &self.world.p.db;
        let empty = "SELECT id FROM nodes n WHERE id = ?1 AND isolation <> 'dedicated'
             AND NOT EXISTS (SELECT 1 FROM node_slots s WHERE s.node_id = n.id)";
        if db.known(empty, [node.to_string()]).is_empty() {
            return;
        }
        let kept = db.known(
            "SELECT CASE WHEN w.minimum >= (SELECT COUNT(*) FROM nodes k
               WHERE k.user_id = w.user_id AND k.credential_id = w.credential_id AND k.isolation = 'user'
               AND k.policy = 'schedulable' AND k.region = w.region AND k.size = w.size
               AND k.state IN ('requested', 'provisioning', 'booting', 'ready')
               AND NOT EXISTS (SELECT 1 FROM node_slots s WHERE s.node_id = k.id)) THEN 'wanted' ELSE 'one too many' END
             FROM warm_pools w WHERE w.last_node_id = ?1",
            [node.to_string()],
        );
        self.count(|figures| figures.warm += 1);
        if kept != ["wanted"] {
            self.breached(format!("I5: {node} is made to be kept warm, and is {kept:?}"));
        }
    }

    /// The nodes that have to end because a budget is spent.
    pub fn beyond_a_budget(&self) -> Vec<NodeId> {
        let all = self.counted();
        let (now, month) = (self.now().get(), month_start(self.now()).get());
        let is_spent = |scope, owner: &Owner<'_>| {
            let of = all.iter().filter(|node| node.counts_for(owner, scope));
            let spent: i64 = of.map(|node| node.spent(month, now)).sum();
            self.limit(scope, owner, LimitMeasure::CostPerMonth).is_some_and(|most| spent >= most)
        };
        let ends =
            |node: &&Counted| node.lives() && LimitScope::ALL.iter().any(|scope| is_spent(*scope, &node.owner()));
        all.iter().filter(ends).map(|node| node.id).collect()
    }

    /// Sweeps have run for long enough: the machines whose budget was spent before that have ended.
    pub fn judge_budgets(&self, ending: &[NodeId]) {
        for node in self.counted().iter().filter(|node| node.lives() && ending.contains(&node.id)) {
            self.breached(format!("I5: {} goes on, and its budget is spent", node.id));
        }
    }

    /// The pools that are short of a machine and do not say why, with what was made for them last.
    pub fn short_pools(&self) -> Vec<String> {
        self.world.p.db.known(
            "SELECT w.user_id || ' after ' || COALESCE(w.last_node_id, 'none') FROM warm_pools w
             WHERE w.problem IS NULL AND NOT EXISTS (SELECT 1 FROM switches) AND w.minimum > (SELECT COUNT(*) FROM nodes k
               WHERE k.user_id = w.user_id AND k.credential_id = w.credential_id AND k.isolation = 'user'
               AND k.policy = 'schedulable' AND k.region = w.region AND k.cpus >= w.cpus
               AND k.state IN ('requested', 'provisioning', 'booting', 'ready')
               AND NOT EXISTS (SELECT 1 FROM node_slots s WHERE s.node_id = k.id))",
            [],
        )
    }
}
