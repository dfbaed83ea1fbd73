//! How a story goes: some of everything while much goes wrong; then nothing goes wrong any more, and all must become as it
//! was asked for; then everything ends, asked for or not.

use std::time::Duration;

use ringfence::app::sweep::cron;
use ringfence::ports::Clock;
use ringfence::provider::{CreateInstance, ErrorClass, Mark};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::time::UnixMillis;

use super::Sim;
use super::tasks::{Job, Process, Task, sleep};

/// How long it takes everything to become as it was asked for, once nothing goes wrong: longer than all of a node's
/// deadlines one after the other.
const CALM: Duration = Duration::from_secs(50 * 60);
/// Times that pass in one world, at most: one that never rests is broken (I13).
const MAX_PASSES: u32 = 6000;
/// Polls until time must pass, at most.
const MAX_POLLS: u32 = 20_000;

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
    if sim.chance.one_in(2) {
        sim.note(|| "everybody leaves".into());
        sim.everybody_leaves();
    }
    stage.run_until(UnixMillis::new(i64::MAX));
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
            4 => sim.db_away_until.set(soon(1, 180)),
            5 => {
                use ErrorClass::{Auth, Capacity, RateLimited, Unknown};
                let class = *sim.chance.pick(&[Auth, Capacity, RateLimited, Unknown]);
                sim.note(|| format!("the cloud refuses everything: {class:?}"));
                sim.sky.mood.set(Some((class, soon(5, 1800))));
            }
            6 => self.ring_early(),
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

    /// An alarm comes before its time.
    fn ring_early(&mut self) {
        let objects = self.sim.objects.borrow();
        let set: Vec<NodeId> =
            objects.iter().filter(|(_, object)| object.alarm.is_some() && !object.running).map(|(id, _)| *id).collect();
        drop(objects);
        if !set.is_empty() {
            self.sim.ring(*self.sim.chance.pick(&set));
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
        for machine in self.machines.borrow_mut().values_mut() {
            machine.agent.clumsy = false;
            if std::mem::take(&mut machine.agent.mute) {
                mute.push(machine.node);
            }
        }
        // An agent that heard nothing for a while lost its link.
        mute.into_iter().for_each(|node| self.close_link(node));
    }
}
