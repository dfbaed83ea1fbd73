//! A world from one number: the real use cases on SQLite with the real migrations, a cloud that fails in every way it can,
//! machines with agents, users who do what they like, and crashes between any two effects.
//!
//! Everything that waits is a task, and a task waits only where it would wait for something outside of it. One random sequence
//! chooses which task goes on, what goes wrong and when time passes, so that a seed is a whole story and tells it again. What
//! must hold is looked at whenever something was written, and once more when all has come to rest.

mod admins;
mod admission;
mod agents;
mod chance;
mod early;
mod judge;
mod object;
mod platform;
mod sky;
mod story;
mod tasks;
mod users;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use ringfence::config::{Config, Settings};
use ringfence::domain::node::InstanceId;
use ringfence::ports::{Clock, Entropy};
use ringfence_protocol::ids::{NodeId, TenantId};
use ringfence_protocol::state::{EngineChoice, LimitMeasure, LimitScope};
use ringfence_protocol::time::UnixMillis;

use self::agents::Machine;
use self::chance::Chance;
use self::object::Object;
use self::sky::Sky;
use self::tasks::Job;
use self::users::User;
use crate::support::keys;
use crate::support::platform::TestPlatform;
use crate::support::sqlite::SqliteDb;
use crate::support::world::World;

/// How a seed's world went.
pub struct Outcome {
    /// What was broken, if anything was.
    pub breach: Option<String>,
    /// What happened, if it was asked for.
    pub trace: Vec<String>,
    /// A digest of all that happened: the same for the same seed.
    pub digest: u64,
    /// How much happened.
    pub figures: Figures,
}

/// How much happened, to see that the stories are worth telling.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    pub workspaces: u64,
    pub nodes: u64,
    pub ready: u64,
    pub alarms: u64,
    pub crashes: u64,
    pub faults: u64,
    pub batches: u64,
    /// Nodes that were made to be kept warm, and nodes that were given up.
    pub warm: u64,
    pub forgotten: u64,
    /// Refusals: while paused, and for a limit or a budget.
    pub refused: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Self) {
        let Self { workspaces, nodes, ready, alarms, crashes, faults, batches, warm, forgotten, refused } = other;
        self.workspaces += workspaces;
        self.nodes += nodes;
        self.ready += ready;
        self.alarms += alarms;
        self.crashes += crashes;
        self.faults += faults;
        self.batches += batches;
        self.warm += warm;
        self.forgotten += forgotten;
        self.refused += refused;
    }
}

/// The world of one seed.
pub struct Sim {
    world: World,
    config: Config,
    chance: Chance,
    users: Vec<User>,
    tenants: [TenantId; 2],
    objects: RefCell<BTreeMap<NodeId, Object>>,
    machines: RefCell<BTreeMap<InstanceId, Machine>>,
    sky: Sky,
    /// What is to begin.
    jobs: RefCell<Vec<Job>>,
    /// Until when the task that is being polled has asked to sleep.
    asleep_until: Cell<Option<UnixMillis>>,
    /// The most nodes, and the most workspaces of one user.
    most: Option<i64>,
    /// Whether users keep machines warm, and whether an admin is at work.
    has_pools: bool,
    has_admin: bool,
    /// One in that many calls goes wrong; nothing does when there is none.
    fault_rate: Cell<Option<u64>>,
    /// The database cannot be reached until then.
    db_away_until: Cell<UnixMillis>,
    /// Whether it reads meanwhile: the plan's rows to write may be spent by themselves.
    db_reads_meanwhile: Cell<bool>,
    /// Nodes that were given up while their machines may be there still.
    given_up: RefCell<BTreeSet<NodeId>>,
    names: Cell<u64>,
    links: Cell<u64>,
    breach: RefCell<Option<String>>,
    digest: Cell<u64>,
    trace: Option<RefCell<Vec<String>>>,
    figures: Cell<Figures>,
}

impl Sim {
    /// The world of a seed.
    fn new(seed: u64, traced: bool) -> Self {
        let chance = Chance::new(seed);
        let world = World::over(TestPlatform::over(seed, SqliteDb::recycled()));
        judge::watch(&world);
        admission::watch(&world);
        let engine = *chance.pick(&[EngineChoice::Unconfined, EngineChoice::Containers]);
        let mut config = keys::config(&[
            ("RINGFENCE_ENGINE", engine.as_str()),
            ("RINGFENCE_HETZNER_URL", "http://127.0.0.1:1"),
            ("RINGFENCE_AGENT_SHA256", &"0".repeat(64)),
        ])
        .unwrap();
        config.settings = settings(&chance);
        early::watch(&world, &config.settings.timing);
        // The most nodes of all and the most workspaces of one user, in some worlds.
        let most = chance.one_in(3).then(|| i64::try_from(chance.between(2, 5)).unwrap());
        if let Some(most) = most {
            config.settings.limits.put(LimitScope::Installation, LimitMeasure::Nodes, most);
            config.settings.limits.put(LimitScope::User, LimitMeasure::Workspaces, most);
            // Of one tenant less than that, in some of them.
            if chance.one_in(2) {
                let measure = *chance.pick(&[LimitMeasure::Nodes, LimitMeasure::Workspaces]);
                config.settings.limits.put(LimitScope::Tenant, measure, most - 1);
            }
        }
        let tenants = [world.tenant, tenant_beside(&world)];
        let users = (0..1 + chance.below(3)).map(|_| User::new(&world, *chance.pick(&tenants))).collect();
        let (has_pools, has_admin) = (chance.one_in(3), chance.one_in(3));
        let fault_rate = *chance.pick(&[None, Some(60), Some(20), Some(8)]);
        let sim = Self {
            world,
            config,
            users,
            tenants,
            most,
            has_pools,
            has_admin,
            objects: RefCell::default(),
            machines: RefCell::default(),
            sky: Sky::default(),
            jobs: RefCell::default(),
            asleep_until: Cell::new(None),
            fault_rate: Cell::new(fault_rate),
            db_away_until: Cell::new(UnixMillis::new(0)),
            db_reads_meanwhile: Cell::new(false),
            given_up: RefCell::default(),
            names: Cell::new(0),
            links: Cell::new(0),
            breach: RefCell::default(),
            digest: Cell::new(seed),
            trace: traced.then(RefCell::default),
            figures: Cell::default(),
            chance,
        };
        sim.plant_foreign_machine();
        sim
    }

    /// Says what happens. It is part of the digest, and kept when a trace was asked for.
    fn note(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let at = self.now().since(crate::support::platform::START);
            trace.borrow_mut().push(format!("{:>10.3} s  {}", at.as_secs_f64(), what()));
        }
    }

    /// Something that must hold does not. The first one counts.
    fn breached(&self, what: String) {
        self.note(|| format!("BREACH {what}"));
        self.breach.borrow_mut().get_or_insert(what);
    }

    fn count(&self, add: impl FnOnce(&mut Figures)) {
        let mut figures = self.figures.get();
        add(&mut figures);
        self.figures.set(figures);
    }

    fn begin(&self, job: Job) {
        self.jobs.borrow_mut().push(job);
    }

    /// Whether this call goes wrong.
    fn goes_wrong(&self) -> bool {
        let wrong = self.fault_rate.get().is_some_and(|rate| self.chance.one_in(rate));
        if wrong {
            self.count(|figures| figures.faults += 1);
        }
        wrong
    }

    fn settings(&self) -> &Settings {
        &self.config.settings
    }
}

/// A tenant beside the one that there is.
fn tenant_beside(world: &World) -> TenantId {
    let tenant: TenantId = world.p.id();
    world.p.db.execute(&format!("INSERT INTO tenants VALUES ('{tenant}', 'beside', 0)")).unwrap();
    tenant
}

/// Shorter times in some worlds, so that ends come while things happen.
fn settings(chance: &Chance) -> Settings {
    let mut settings = Settings::default();
    let secs = std::time::Duration::from_secs;
    if chance.one_in(2) {
        settings.timing.idle_timeout = secs(*chance.pick(&[60, 600]));
        settings.timing.user_lifetime = secs(*chance.pick(&[1200, 7200]));
        settings.timing.dedicated_lifetime = secs(*chance.pick(&[1800, 7200]));
        settings.timing.ephemeral_lifetime = secs(*chance.pick(&[600, 1800]));
        settings.timing.dead_man_after = secs(*chance.pick(&[60, 3600]));
        settings.timing.stopping = secs(*chance.pick(&[120, 600]));
    }
    settings
}

/// Tells the story of a seed.
pub fn run(seed: u64, traced: bool) -> Outcome {
    let sim = Sim::new(seed, traced);
    story::tell(&sim);
    let breach = sim.breach.borrow().clone();
    let trace = sim.trace.as_ref().map(|trace| trace.borrow().clone()).unwrap_or_default();
    sim.count(|figures| figures.batches = u64::from(sim.world.p.db.batches.get()));
    Outcome { breach, trace, digest: sim.digest.get(), figures: sim.figures.get() }
}
