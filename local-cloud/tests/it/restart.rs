//! local-cloud ends, well or badly, and starts again on the same directory.

use crate::actor::{Actor, TOKENS, World, agent, eventually, is_alive, server_order, started};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The real binary.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(state_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_local-cloud"))
            .args(["--driver", "process", "--boot-delay-ms", "50", "--exit-with-stdin"])
            .env("LOCAL_CLOUD_TOKENS", TOKENS.join(","))
            .arg("--state-dir")
            .arg(state_dir)
            .arg("--agent-bin")
            .arg(agent())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("READY url=").expect("a READY line").to_owned();
        Self { child, url }
    }

    fn actor(&self) -> Actor {
        Actor::new(&self.url, TOKENS[0])
    }

    fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    fn close_stdin(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that is no machine of ours, in a process group of its own.
struct Bystander(Child);

impl Bystander {
    fn start(mark: &str) -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").env("RINGFENCE_MACHINE", mark).process_group(0);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn servers_labels_and_ids_survive_and_machines_come_back() {
    let world = World::new().await;
    let actor = world.actor();
    let on = actor.machine("on", "idle").await;
    let off = actor.machine("off", "power_off").await;
    eventually("off", async || actor.status(off).await == "off").await;
    let state = actor.state_of(on).await;
    eventually("started", async || started(&state).len() == 1).await;
    let world = world.restart().await;
    let actor = world.actor();
    eventually("started again", async || started(&state).len() == 2).await;
    let processes = started(&state);
    assert!(!is_alive(processes[0]) && is_alive(processes[1]));
    assert_eq!((actor.status(on).await.as_str(), actor.status(off).await.as_str()), ("running", "off"));
    assert!(actor.create(server_order("new")).await > off);
    world.end().await;
    assert!(!is_alive(processes[1]));
}

#[tokio::test]
async fn machines_left_by_a_crash_are_ended_and_nobody_else() {
    let state_dir = tempfile::tempdir().unwrap();
    let process = Process::start(state_dir.path());
    let actor = process.actor();
    let id = actor.machine("m", "tree").await;
    let state = actor.state_of(id).await;
    eventually("the tree has grown", async || state.join("ready").exists() && started(&state).len() == 4).await;
    let before = started(&state);
    process.crash();
    assert!(before.iter().all(|pid| is_alive(*pid)), "a crash ends no machine");

    // Someone else's machine with the same id, and someone whose pid the record might name by now.
    let mut foreign = Bystander::start(&format!("other/{id}"));
    let mut reused = Bystander::start("");
    let gone = state_dir.path().join("machines/7");
    std::fs::create_dir_all(&gone).unwrap();
    let record = json!({"pid": reused.0.id(), "start_ticks": 1});
    std::fs::write(gone.join("process.json"), record.to_string()).unwrap();

    let process = Process::start(state_dir.path());
    assert!(!before.iter().any(|pid| is_alive(*pid)), "{before:?}");
    assert!(foreign.lives() && reused.lives());
    eventually("the machine is on again", async || started(&state).len() == 8).await;
    let after = started(&state);
    process.close_stdin();
    assert!(!after.iter().any(|pid| is_alive(*pid)), "an orderly end leaves nothing: {after:?}");
}

#[tokio::test]
async fn sigterm_ends_every_machine() {
    let state_dir = tempfile::tempdir().unwrap();
    let process = Process::start(state_dir.path());
    let actor = process.actor();
    let id = actor.machine("m", "stubborn").await;
    let state = actor.state_of(id).await;
    eventually("it is stubborn", async || state.join("ready").exists()).await;
    process.terminate();
    assert!(!started(&state).iter().any(|pid| is_alive(*pid)));
}

#[tokio::test]
async fn a_state_directory_serves_one_cloud_at_a_time() {
    let world = World::new().await;
    let settings = crate::actor::quick(world.state_dir.path());
    assert!(local_cloud::Cloud::open(settings).await.is_err());
    world.end().await;
}
