//! How a story goes: some of everything while much goes wrong; then nothing goes wrong any more, and all must become as it
//! was asked for; then everything ends, asked for or not.

use std::time::Duration;

use ringfence::app::sweep::cron;
use ringfence::ports::Clock;
use ringfence::provider::{CreateInstance, ErrorClass, Mark};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::AgentMessage;
use ringfence_protocol::state::PostureOutcome;
use ringfence_protocol::time::UnixMillis;

use super::Sim;
use super::tasks::{Job, Process, Task, sleep};
use crate::support::agent::posture;

/// How long it takes everything to become as it was asked for, once nothing goes wrong: longer than all of a node's
/// deadlines one after the other.
const CALM: Duration = Duration::from_secs(50 * 60);
/// Times that pass in one world, at most: one that never rests is broken (I13).
const MAX_PASSES: u32 = 6000;
/// Polls until time must pass, at most.
const MAX_POLLS: u32 = 20_000;

/// Minutes of sweeps after which what is kept warm is there and whatever is beyond a spent budget has ended: its grace, the save step
/// and a few minutes.
const SWEEPS: u32 = 20;
/// Sweeps after which another machine is made for a pool that is short of one.
const PATIENCE_OF_A_POOL: u32 = 4;
/// Runs of the sweeps in which each account has had its turn, more than once.
const SWEEPS_OF_EACH_ACCOUNT: u32 = 6;
/// Runs of the sweeps until every machine that was given up is deleted, at most.
const LAST_SWEEPS: u32 = 40;
/// Machines that live longer are not kept warm for the whole of it.
const SHORT_LIFE: Duration = Duration::from_secs(24 * 3600);

struct Stage<'a> {
    sim: &'a Sim,
    tasks: Vec<Task<'a>>,
    passes: u32,
}

/// Tells the whole story of a world.
pub fn tell(sim: &Sim) {
    let mut stage = Stage { sim, tasks: Vec::new(), passes: 0 };
    stage.chaos();
    sim.calm_down();
    stage.run_until(sim.now() + CALM);
    sim.begin(Job::Cron);
    stage.run_until(sim.now() + Duration::from_secs(1));
    sim.judge_calm();
    stage.sweep_what_has_no_machine();
    stage.sweep_for_a_while();
    if sim.chance.one_in(2) {
        sim.note(|| "everybody leaves".into());
        sim.everybody_leaves();
    }
    if sim.settings().timing.user_lifetime > SHORT_LIFE {
        sim.nobody_keeps_any_warm();
    }
    stage.run_until(UnixMillis::new(i64::MAX));
    sim.judge_history();
    stage.sweep_what_was_given_up();
    sim.judge_end();
}

impl<'a> Stage<'a> {
    fn is_over(&self) -> bool {
        self.sim.breach.borrow().is_some()
    }

    fn chaos(&mut self) {
        let sim = self.sim;
        for _ in 0..sim.chance.between(30, 120) {
            if self.is_over() {
                return;
            }
            match sim.chance.below(10) {
                0 | 1 => sim.somebody_acts(),
                2 => self.mishap(),
                3 if sim.chance.one_in(3) => sim.begin(Job::Cron),
                3..=5 => {
                    for _ in 0..sim.chance.between(1, 12) {
                        self.step();
                    }
                }
                _ => {
                    self.run_runnable();
                    self.pass_time(None);
                }
            }
        }
    }

    /// Goes on until that time, or until nothing is to come.
    fn run_until(&mut self, end: UnixMillis) {
        while !self.is_over() {
            self.run_runnable();
            if !self.pass_time(Some(end)) {
                return;
            }
        }
    }

    fn sweep_after(&mut self, pause: Duration) {
        self.run_until(self.sim.now() + pause);
        self.sim.begin(Job::Cron);
        self.run_runnable();
    }

    /// Sweeps end what lost its machine at the provider's console.
    fn sweep_what_has_no_machine(&mut self) {
        for _ in 0..SWEEPS_OF_EACH_ACCOUNT {
            if self.sim.without_a_machine().is_empty() {
                return;
            }
            self.sweep_after(Duration::from_secs(300));
        }
        self.run_until(self.sim.now() + Duration::from_secs(60));
        if let Some(node) = self.sim.without_a_machine().first() {
            self.sim.breached(format!("I4: {node} is ready, has no machine, and nothing ends it"));
        }
    }

    /// Sweeps make what is to be kept warm and end what is beyond a budget.
    fn sweep_for_a_while(&mut self) {
        if !self.sim.has_pools && !self.sim.has_admin {
            return;
        }
        let ending = self.sim.beyond_a_budget();
        // Two users are looked after in a minute, one machine for each.
        let minutes = if ending.is_empty() { SWEEPS / 2 } else { SWEEPS };
        let (mut short, mut in_a_row) = (Vec::new(), 0);
        for _ in 0..minutes {
            self.sweep_after(Duration::from_secs(60));
            let still = self.sim.short_pools();
            in_a_row = if still.iter().any(|pool| short.contains(pool)) { in_a_row + 1 } else { 0 };
            short = still;
            if in_a_row >= PATIENCE_OF_A_POOL {
                self.sim.breached(format!("I13: too few machines are kept warm, and no more are made: {short:?}"));
            }
        }
        self.run_until(self.sim.now() + Duration::from_secs(60));
        self.sim.judge_budgets(&ending);
    }

    /// The machines of nodes that were given up are deleted by the sweeps of their accounts, when they can be.
    fn sweep_what_was_given_up(&mut self) {
        let sim = self.sim;
        let is_left = || sim.world.cloud.machines.borrow().keys().any(|id| sim.is_given_up(id));
        for run in 0..LAST_SWEEPS {
            if self.is_over() || !is_left() {
                return;
            }
            if run == 0 {
                sim.nobody_keeps_any_warm();
                self.run_until(UnixMillis::new(i64::MAX));
            }
            let later = sim.now() + Duration::from_secs(400);
            sim.world.p.now.set(later);
            sim.begin(Job::Cron);
            self.run_until(UnixMillis::new(i64::MAX));
        }
    }

    fn run_runnable(&mut self) {
        for _ in 0..MAX_POLLS {
            if self.is_over() || !self.step() {
                return;
            }
        }
        self.sim.breached("I13: tasks go on for ever".into());
    }

    /// One of those that can go on does, for a while. `false` when there is none.
    fn step(&mut self) -> bool {
        for job in self.sim.jobs.take() {
            self.tasks.push(self.sim.task(job));
        }
        let now = self.sim.now();
        let runnable = self.tasks.iter().filter(|task| task.is_runnable(now)).count();
        if runnable == 0 {
            return false;
        }
        let chosen = self.sim.chance.index(runnable);
        let runnable = self.tasks.iter().enumerate().filter(|(_, task)| task.is_runnable(now));
        let index = runnable.map(|(index, _)| index).nth(chosen).unwrap();
        for _ in 0..self.sim.chance.between(1, 8) {
            if self.tasks[index].poll(self.sim) {
                drop(self.tasks.swap_remove(index));
                break;
            }
            if !self.tasks[index].is_runnable(now) {
                break;
            }
        }
        true
    }

    /// Nothing can go on: time passes to what comes next. `false` when nothing comes, or not before `end`.
    fn pass_time(&mut self, end: Option<UnixMillis>) -> bool {
        let sim = self.sim;
        if self.tasks.iter().any(|task| task.is_runnable(sim.now())) || !sim.jobs.borrow().is_empty() {
            return true;
        }
        sim.judge_timers();
        let sleeping = self.tasks.iter().filter_map(|task| task.asleep_until);
        let objects = sim.objects.borrow();
        let alarms = objects.values().filter(|object| !object.running).filter_map(|object| object.alarm);
        let next = sleeping.chain(alarms).min();
        drop(objects);
        let Some(next) = next.filter(|next| end.is_none_or(|end| *next <= end)) else {
            if let Some(end) = end.filter(|end| end.get() < 9_000_000_000_000) {
                sim.world.p.now.set(end.max(sim.now()));
            }
            return false;
        };
        self.passes += 1;
        if self.passes > MAX_PASSES {
            sim.breached("I13: it never comes to rest".into());
            return false;
        }
        // Alarms come late now and then.
        let late = if sim.chance.one_in(8) { sim.chance.below(3000) } else { 0 };
        sim.world.p.now.set(next.max(sim.now()) + Duration::from_millis(late));
        sim.ring_what_is_due();
        true
    }

    /// Something goes wrong.
    fn mishap(&mut self) {
        let sim = self.sim;
        if sim.fault_rate.get().is_none() {
            return;
        }
        let soon = |from, to| sim.now() + Duration::from_secs(sim.chance.between(from, to));
        match sim.chance.below(12) {
            0 | 1 => self.crash_request(),
            2 | 3 => self.crash_object(),
            4 => {
                sim.db_away_until.set(soon(1, 180));
                sim.db_reads_meanwhile.set(sim.chance.one_in(2));
            }
            5 => {
                use ErrorClass::{Auth, Capacity, RateLimited, Unknown};
                let class = *sim.chance.pick(&[Auth, Capacity, RateLimited, Unknown]);
                sim.note(|| format!("the cloud refuses everything: {class:?}"));
                sim.sky.mood.set(Some((class, soon(5, 1800))));
            }
            6 => self.ring_untimely(),
            _ => sim.mishap_on_a_machine(),
        }
    }

    /// A request's process dies where it waits. Whoever asked sees the connection break, and asks again.
    fn crash_request(&mut self) {
        let requests = self.tasks.iter().enumerate().filter(|(_, task)| task.process == Process::Request);
        let requests: Vec<usize> = requests.map(|(index, _)| index).collect();
        if requests.is_empty() {
            return;
        }
        let task = self.tasks.swap_remove(*self.sim.chance.pick(&requests));
        self.sim.note(|| format!("a request dies: {:?}", task.job));
        self.sim.count(|figures| figures.crashes += 1);
        if let Job::Wish(wish) = task.job.clone() {
            self.sim.ask_again(wish);
        }
    }

    /// An object's process dies wherever it is.
    fn crash_object(&mut self) {
        let objects: Vec<NodeId> = self.sim.objects.borrow().keys().copied().collect();
        if objects.is_empty() {
            return;
        }
        let node = *self.sim.chance.pick(&objects);
        self.sim.note(|| format!("the object of {node} dies"));
        self.tasks.retain(|task| task.process != Process::Object(node));
        self.sim.crash_object(node);
    }

    /// An alarm comes before its time, or once more when none is set any longer.
    fn ring_untimely(&mut self) {
        let objects = self.sim.objects.borrow();
        let asleep: Vec<NodeId> = objects.iter().filter(|(_, object)| !object.running).map(|(id, _)| *id).collect();
        drop(objects);
        if !asleep.is_empty() {
            self.sim.ring(*self.sim.chance.pick(&asleep));
        }
    }
}

impl Sim {
    fn task(&self, job: Job) -> Task<'_> {
        let kept = job.clone();
        match job {
            Job::Wish(wish) => Task::new(Process::Request, kept, self.ask(wish)),
            Job::Alarm(node, safety) => Task::new(Process::Object(node), kept, self.run_alarm(node, safety)),
            Job::Deliver(node) => Task::new(Process::Object(node), kept, self.deliver(node)),
            Job::LinkEnded(node) => Task::new(Process::Object(node), kept, self.link_ended(node)),
            Job::Obey(id, link) => Task::new(Process::Outside, kept, self.obey(id, link)),
            Job::Boot(id) => Task::new(Process::Outside, kept, self.boot(id)),
            Job::Dial(id) => Task::new(Process::Outside, kept, self.dial(id)),
            Job::Vanish(id, delay) => Task::new(Process::Outside, kept, async move {
                sleep(self, delay).await;
                self.vanish(&id);
            }),
            Job::ArriveLate(node, user_data, delay) => {
                Task::new(Process::Outside, kept, self.arrive_late(node, user_data, delay))
            }
            Job::Cron => Task::new(Process::Request, kept, async move {
                let failures = cron(self, &self.config, &self).await;
                self.note(|| format!("sweeps: {failures:?}"));
            }),
            Job::SecondKey(node) => Task::new(Process::Request, kept, self.second_key(node)),
        }
    }

    async fn arrive_late(&self, node: NodeId, user_data: String, delay: Duration) {
        sleep(self, delay).await;
        let mark = Mark { installation: self.config.installation_id.clone(), node };
        let order = CreateInstance { mark: &mark, region: "fsn1", size: "cx23", image: None, user_data: &user_data };
        let made = self.arrive(&order);
        self.note(|| format!("cloud: the create call of {node} arrives late: {}", made.is_ok()));
    }

    fn ring_what_is_due(&self) {
        let now = self.now();
        let objects = self.objects.borrow();
        let due = |object: &super::object::Object| !object.running && object.alarm.is_some_and(|at| at <= now);
        let due: Vec<NodeId> = objects.iter().filter(|(_, object)| due(object)).map(|(id, _)| *id).collect();
        drop(objects);
        for node in due {
            self.ring(node);
        }
    }

    /// Nothing goes wrong any more.
    fn calm_down(&self) {
        self.note(|| "nothing goes wrong any more".into());
        self.fault_rate.set(None);
        // What was due while the database was away is late, and not lost.
        self.db_away_until.set(self.db_away_until.get().min(self.now()));
        self.sky.mood.set(None);
        let mut mute = Vec::new();
        let mut better = Vec::new();
        for (id, machine) in self.machines.borrow_mut().iter_mut() {
            machine.agent.clumsy = false;
            if machine.agent.posture.as_ref().is_some_and(|posture| !posture.holds()) {
                machine.agent.posture = Some(posture(PostureOutcome::Pass));
                better.push(id.clone());
            }
            if std::mem::take(&mut machine.agent.mute) {
                mute.push(machine.node);
            }
        }
        // An agent that heard nothing for a while lost its link.
        mute.into_iter().for_each(|node| self.close_link(node));
        for id in better {
            self.say(&id, AgentMessage::NodePosture(posture(PostureOutcome::Pass)));
        }
    }
}
