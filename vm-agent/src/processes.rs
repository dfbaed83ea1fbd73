//! Finds and ends processes: of a workspace that runs without a container around it, and of a terminal in a container.
//!
//! Everything a workspace starts inherits [`WORKSPACE_VARIABLE`], and everything a terminal in a container starts
//! [`TERMINAL_VARIABLE`]; what has cleared its environment is still found through its session or its parent. A process that leaves
//! all three escapes: without a container for good (that engine has no walls, and says so), in one until the container ends.
//! In a container only its own processes are looked at, whatever others write into their environment.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_protocol::ids::WorkspaceId;
use rustix::process::{Pid, Signal, kill_process};

use crate::activity::ProcessTime;

/// Names the workspace in the environment of everything that runs in it.
pub const WORKSPACE_VARIABLE: &str = "RINGFENCE_WORKSPACE";

/// Names a terminal, or a command of the agent's own, in the environment of everything that it starts in a container.
pub const TERMINAL_VARIABLE: &str = "RINGFENCE_TERMINAL";

/// How often it is looked whether they are gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Looks after the hang-up before the kill: 0.5 s.
const LOOKS_AFTER_HANGUP: usize = 25;
/// Looks after the kill before giving up: 5 s.
const LOOKS_AFTER_KILL: usize = 250;
/// Looks after asking a container's processes to end: 2 s.
const LOOKS_AFTER_TERM: usize = 100;

struct Process {
    pid: i32,
    name: String,
    parent: i32,
    session: i32,
    is_marked: bool,
    time: ProcessTime,
}

/// Ends every process of the workspace: a hang-up, a moment to leave, a kill. Returns whether all are gone.
pub async fn end_all(workspace_id: WorkspaceId, leaders: &[i32]) -> bool {
    end(|| of_workspace(workspace_id, leaders)).await
}

/// In the container that `inside` is a process of: ends what bears this mark (`NAME=value`), its sessions and its children.
pub async fn end_marked(inside: i32, mark: &str) -> bool {
    end(|| marked(inside, mark.as_bytes())).await
}

/// In the container that `inside` is a process of: does to every terminal what happens when a line is cut. Its shell ends, and
/// what was started to outlive it goes on.
pub async fn hang_up_terminals(inside: i32) -> bool {
    let prefix = format!("{TERMINAL_VARIABLE}=");
    let is_terminal = |variable: &[u8]| variable.starts_with(prefix.as_bytes());
    let all = all_processes(is_terminal);
    let leaders: Vec<i32> = in_container(inside, &all)
        .filter(|process| process.is_marked && process.pid == process.session)
        .map(|process| process.pid)
        .collect();
    for process in all.iter().filter(|process| leaders.contains(&process.session)) {
        send(process.pid, &[Signal::HUP, Signal::CONT]);
    }
    end(|| {
        let living = all_processes(is_terminal);
        living.into_iter().map(|process| process.pid).filter(|pid| leaders.contains(pid)).collect()
    })
    .await
}

/// In the container that `inside` is the first process of: asks all others to end, and waits a moment for it.
pub async fn ask_to_end(inside: i32) {
    let others = || -> Vec<i32> {
        let all = all_processes(|_| false);
        // A shell as first process waits with a sleep, and starts the next when one ends.
        let is_idling = |process: &&Process| process.parent == inside && process.name == "sleep";
        let others = in_container(inside, &all).filter(|process| process.pid != inside);
        others.filter(|process| !is_idling(process)).map(|process| process.pid).collect()
    };
    let mut asked = HashSet::new();
    for _ in 0..LOOKS_AFTER_TERM {
        let living = others();
        if living.is_empty() {
            return;
        }
        for pid in living.into_iter().filter(|pid| asked.insert(*pid)) {
            send(pid, &[Signal::TERM, Signal::HUP, Signal::CONT]);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn end(find: impl Fn() -> Vec<i32>) -> bool {
    for signals in [&[Signal::HUP, Signal::CONT][..], &[Signal::KILL][..]] {
        let looks = match signals {
            [Signal::KILL] => LOOKS_AFTER_KILL,
            _ => LOOKS_AFTER_HANGUP,
        };
        let mut hit = HashSet::new();
        for _ in 0..looks {
            let living = find();
            if living.is_empty() {
                return true;
            }
            // Each once; those born since get theirs.
            for pid in living.into_iter().filter(|pid| hit.insert(*pid)) {
                send(pid, signals);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    find().is_empty()
}

fn send(pid: i32, signals: &[Signal]) {
    if let Some(pid) = Pid::from_raw(pid) {
        for signal in signals {
            let _ = kill_process(pid, *signal);
        }
    }
}

/// Process ids of the workspace. Never this process, never init.
pub fn of_workspace(workspace_id: WorkspaceId, leaders: &[i32]) -> Vec<i32> {
    let marker = format!("{WORKSPACE_VARIABLE}={workspace_id}");
    let all = all_processes(|variable| variable == marker.as_bytes());
    let found = all.iter().filter(|process| process.is_marked || leaders.contains(&process.session));
    let mut found = with_children(found, &all);
    let own = rustix::process::getpid().as_raw_nonzero().get();
    found.retain(|pid| *pid != own && *pid != 1);
    found.into_iter().collect()
}

/// What the processes of a workspace without a container have used.
pub fn times_of_workspace(workspace_id: WorkspaceId, leaders: &[i32]) -> Vec<ProcessTime> {
    let marker = format!("{WORKSPACE_VARIABLE}={workspace_id}");
    let all = all_processes(|variable| variable == marker.as_bytes());
    let found = all.iter().filter(|process| process.is_marked || leaders.contains(&process.session));
    let found = with_children(found, &all);
    all.iter().filter(|process| found.contains(&process.pid)).map(|process| process.time).collect()
}

/// What the processes of the container that `inside` is a process of have used.
pub fn times_in_container(inside: i32) -> Vec<ProcessTime> {
    let all = all_processes(|_| false);
    in_container(inside, &all).map(|process| process.time).collect()
}

fn marked(inside: i32, mark: &[u8]) -> Vec<i32> {
    let all = all_processes(|variable| variable == mark);
    let theirs: Vec<&Process> = in_container(inside, &all).collect();
    let sessions: Vec<i32> = theirs.iter().filter(|process| process.is_marked).map(|process| process.session).collect();
    let found = theirs.iter().filter(|process| process.is_marked || sessions.contains(&process.session));
    let mut found = with_children(found.copied(), &all);
    // Only what is in the container: its first process, which all others descend from, is not marked.
    found.retain(|pid| *pid != inside && theirs.iter().any(|process| process.pid == *pid));
    found.into_iter().collect()
}

fn in_container(inside: i32, all: &[Process]) -> impl Iterator<Item = &Process> {
    let namespace = pid_namespace(inside);
    let own = pid_namespace(rustix::process::getpid().as_raw_nonzero().get());
    // The agent's own namespace is no container: then nothing is.
    let namespace = namespace.filter(|namespace| Some(namespace) != own.as_ref());
    all.iter().filter(move |process| namespace.is_some() && pid_namespace(process.pid) == namespace)
}

fn pid_namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn with_children<'a>(found: impl Iterator<Item = &'a Process>, all: &[Process]) -> HashSet<i32> {
    let mut found: HashSet<i32> = found.map(|process| process.pid).collect();
    // Children of what was found, until there are no more: at most as many rounds as there are processes.
    for _ in 0..all.len() {
        let before = found.len();
        let children = all.iter().filter(|process| found.contains(&process.parent));
        let children: Vec<i32> = children.map(|process| process.pid).collect();
        found.extend(children);
        if found.len() == before {
            break;
        }
    }
    found
}

fn all_processes(is_mark: impl Fn(&[u8]) -> bool) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.filter_map(|entry| read_process(&entry.ok()?.path(), &is_mark)).collect()
}

/// `None` for what is no process, is gone, or only waits to be reaped.
fn read_process(dir: &Path, is_mark: &impl Fn(&[u8]) -> bool) -> Option<Process> {
    let pid = dir.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too: fields follow the last one.
    let (front, fields) = stat.rsplit_once(')')?;
    let name = front.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<i64>().ok();
    let state = *fields.first()?;
    let parent = fields.get(1)?.parse().ok()?;
    let session = fields.get(3)?.parse().ok()?;
    // Its group, its terminal and the group in the foreground of that; processor time, and that of children that have ended.
    let (group, terminal, foreground) = (number(2)?, number(4)?, number(5)?);
    let ticks: i64 = (11..=14).filter_map(number).sum();
    let time = ProcessTime {
        pid,
        born: u64::try_from(number(19)?).ok()?,
        ticks: u64::try_from(ticks).unwrap_or(0),
        is_foreground: terminal != 0 && group == foreground,
    };
    let environment = fs::read(dir.join("environ")).unwrap_or_default();
    let is_marked = environment.split(|byte| *byte == 0).any(is_mark);
    (state != "Z" && state != "X").then_some(Process { pid, name, parent, session, is_marked, time })
}
