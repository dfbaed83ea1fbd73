//! Finds and ends the processes of a workspace that runs without a container around it.
//!
//! Everything a workspace starts inherits [`WORKSPACE_VARIABLE`]; what has cleared its environment is still found through its
//! session or its parent. (A process that leaves all three escapes: this engine has no walls, and says so.)

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ringfence_protocol::ids::WorkspaceId;
use rustix::process::{Pid, Signal, kill_process};

/// Names the workspace in the environment of everything that runs in it.
pub const WORKSPACE_VARIABLE: &str = "RINGFENCE_WORKSPACE";

/// How often it is looked whether they are gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Looks after the hang-up before the kill: 0.5 s.
const LOOKS_AFTER_HANGUP: usize = 25;
/// Looks after the kill before giving up: 5 s.
const LOOKS_AFTER_KILL: usize = 250;

struct Process {
    pid: i32,
    parent: i32,
    session: i32,
    is_marked: bool,
}

/// Ends every process of the workspace: a hang-up, a moment to leave, a kill. Returns whether all are gone.
pub async fn end_all(workspace_id: WorkspaceId, leaders: &[i32]) -> bool {
    for signals in [&[Signal::HUP, Signal::CONT][..], &[Signal::KILL][..]] {
        let looks = match signals {
            [Signal::KILL] => LOOKS_AFTER_KILL,
            _ => LOOKS_AFTER_HANGUP,
        };
        let mut hit = HashSet::new();
        for _ in 0..looks {
            let living = of_workspace(workspace_id, leaders);
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
    of_workspace(workspace_id, leaders).is_empty()
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
    let all = all_processes(marker.as_bytes());
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut found: HashSet<i32> = all
        .iter()
        .filter(|process| process.is_marked || leaders.contains(&process.session))
        .map(|process| process.pid)
        .collect();
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
    found.retain(|pid| *pid != own && *pid != 1);
    found.into_iter().collect()
}

fn all_processes(marker: &[u8]) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.filter_map(|entry| read_process(&entry.ok()?.path(), marker)).collect()
}

/// `None` for what is no process, is gone, or only waits to be reaped.
fn read_process(dir: &Path, marker: &[u8]) -> Option<Process> {
    let pid = dir.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too: fields follow the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let environment = fs::read(dir.join("environ")).unwrap_or_default();
    let is_marked = environment.split(|byte| *byte == 0).any(|variable| variable == marker);
    (state != "Z" && state != "X").then_some(Process { pid, parent, session, is_marked })
}
