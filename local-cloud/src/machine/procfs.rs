//! Finding and ending all processes of a machine.
//!
//! A process belongs to a machine when its environment carries the machine's mark (children inherit it, also in sessions of
//! their own), when it is in the agent's process group, or when it descends from one of these. A process that empties its
//! environment, leaves the group *and* outlives its parents escapes; only a driver with namespaces can hold such a one.

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The variable that marks a machine's processes.
pub(crate) const MARK_VARIABLE: &str = "RINGFENCE_MACHINE";

/// Rounds of killing: one is enough unless processes are being forked meanwhile.
const ROUNDS_MAX: u32 = 200;
const PAUSE_BETWEEN_ROUNDS: Duration = Duration::from_millis(10);

/// A process as told from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    /// Clock ticks after boot.
    pub(crate) start_ticks: u64,
}

struct Stat {
    parent: i32,
    group: i32,
    start_ticks: u64,
    dead: bool,
}

impl ProcessIdentity {
    /// `None` when there is no such process.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, start_ticks: stat.start_ticks })
    }

    fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| !stat.dead && stat.start_ticks == self.start_ticks)
    }
}

/// Ends every process that carries `mark` or descends from one that does. `main` is the leader of the machine's process group
/// where known: the group counts even where environments were emptied. False when some would not die.
pub(crate) async fn kill_all(mark: &Mark, main: Option<ProcessIdentity>) -> bool {
    for _ in 0..ROUNDS_MAX {
        let living = processes_of(mark, main);
        if living.is_empty() {
            return true;
        }
        for identity in living {
            kill(identity);
        }
        tokio::time::sleep(PAUSE_BETWEEN_ROUNDS).await;
    }
    false
}

/// Ends one process; false when it would not die.
pub(crate) async fn end(identity: ProcessIdentity) -> bool {
    for _ in 0..ROUNDS_MAX {
        if !identity.is_alive() {
            return true;
        }
        kill(identity);
        tokio::time::sleep(PAUSE_BETWEEN_ROUNDS).await;
    }
    false
}

/// A value of the mark variable to look for.
#[derive(Clone, Debug)]
pub(crate) struct Mark(String);

impl Mark {
    /// The mark of one machine.
    pub(crate) fn machine(value: &str) -> Self {
        Self(format!("{MARK_VARIABLE}={value}"))
    }

    /// The value that children inherit.
    pub(crate) fn value(&self) -> &str {
        self.0.split_once('=').map_or("", |(_, value)| value)
    }

    fn is_in(&self, environment: &[u8]) -> bool {
        environment.split(|byte| *byte == 0).any(|variable| variable == self.0.as_bytes())
    }
}

/// The machine marks in use on this computer that begin with `prefix`.
pub(crate) fn marks_in_use(prefix: &str) -> Vec<Mark> {
    let wanted = format!("{MARK_VARIABLE}={prefix}");
    let mut marks = BTreeSet::new();
    for pid in pids() {
        for variable in environment(pid).split(|byte| *byte == 0) {
            if variable.starts_with(wanted.as_bytes()) {
                marks.insert(String::from_utf8_lossy(variable).into_owned());
            }
        }
    }
    marks.into_iter().map(Mark).collect()
}

fn processes_of(mark: &Mark, main: Option<ProcessIdentity>) -> Vec<ProcessIdentity> {
    let ours = i32::try_from(std::process::id()).unwrap_or(0);
    let all = everything();
    let mut found: BTreeSet<i32> = all.keys().copied().filter(|pid| mark.is_in(&environment(*pid))).collect();
    // A pid stays taken while its group has members. So if someone else has the pid by now, the group is someone else's too.
    if let Some(main) = main.filter(|main| all.get(&main.pid).is_none_or(|stat| stat.start_ticks == main.start_ticks)) {
        found.extend(all.iter().filter(|(_, stat)| stat.group == main.pid).map(|(pid, _)| *pid));
    }
    add_descendants(&mut found, &all);
    found
        .into_iter()
        .filter(|pid| *pid != ours && *pid > 1)
        .filter_map(|pid| {
            all.get(&pid).filter(|stat| !stat.dead).map(|stat| ProcessIdentity { pid, start_ticks: stat.start_ticks })
        })
        .collect()
}

/// A process and all that descends from it, those that live; nothing once it is gone itself.
pub(crate) fn family(first: ProcessIdentity) -> BTreeSet<i32> {
    let all = everything();
    let mut found = BTreeSet::new();
    if all.get(&first.pid).is_some_and(|stat| stat.start_ticks == first.start_ticks) {
        found.insert(first.pid);
        add_descendants(&mut found, &all);
    }
    found.retain(|pid| all.get(pid).is_some_and(|stat| !stat.dead));
    found
}

fn everything() -> BTreeMap<i32, Stat> {
    pids().into_iter().filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn add_descendants(found: &mut BTreeSet<i32>, all: &BTreeMap<i32, Stat>) {
    // Each pass adds a generation; a process tree has no cycles, so this ends.
    loop {
        let children: Vec<i32> = all
            .iter()
            .filter(|(pid, stat)| !found.contains(pid) && found.contains(&stat.parent))
            .map(|(pid, _)| *pid)
            .collect();
        if children.is_empty() {
            return;
        }
        found.extend(children);
    }
}

/// Through a pidfd, with a second look after opening it: a pid that was given to someone else meanwhile is never hit.
fn kill(identity: ProcessIdentity) {
    let Some(pid) = Pid::from_raw(identity.pid) else { return };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        // Kernels before 5.3 have no pidfds.
        if identity.is_alive() {
            let _ = kill_process(pid, Signal::KILL);
        }
        return;
    };
    if identity.is_alive() {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

/// Sends a signal to one process, if it still is that process.
pub(crate) fn signal(identity: ProcessIdentity, signal: Signal) -> bool {
    match Pid::from_raw(identity.pid) {
        Some(pid) if identity.is_alive() => kill_process(pid, signal).is_ok(),
        _ => false,
    }
}

fn pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn environment(pid: i32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

/// The fields after the command name, which may itself contain spaces and parentheses.
fn stat(pid: i32) -> Option<Stat> {
    let line = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(Stat {
        dead: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}
