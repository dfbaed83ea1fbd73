//! Start, terminal, stop, start, adopt, remove.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{CloseReason, ControlMessage};
use ringfence_protocol::state::SaveOutcome;
use ringfence_protocol::terminal::Exit;
use vm_agent::terminal::Command;
use vm_agent::workspaces::Said;

use crate::support::machine::{Machine, container};
use crate::support::viewer::Viewer;
use crate::support::{node, until};

#[tokio::test]
async fn a_workspace_starts_runs_a_terminal_stops_keeps_its_files_and_leaves_nothing() {
    let Some(mut machine) = Machine::start("lifecycle").await else { return };
    let started = Instant::now();
    let workspace = machine.start_workspace(&container()).await;
    println!("first start on a local image: {} ms", started.elapsed().as_millis());

    let opened = Instant::now();
    let mut viewer = Viewer::open(&mut machine, workspace).await;
    viewer.shows("$ ").await;
    println!("exec to prompt: {} ms", opened.elapsed().as_millis());
    let said = viewer.runs("echo $HOME $GREETING; pwd; id -u; echo $HOSTNAME; stty size; echo kept > file").await;
    for part in ["/sessions/home hello there", "/workspace", "1000", "demo", "24 80"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    // Bytes stay what they are, whichever comes first.
    viewer.runs("printf '\\001\\002\\000\\377x\\n'").await;
    assert!(viewer.drawn.windows(5).any(|bytes| bytes == b"\x01\x02\x00\xffx"));
    viewer.types("exit 7\n").await;
    assert_eq!(viewer.sees_the_end().await, CloseReason::Exited);
    assert_eq!(viewer.exit, Some(Exit::Code(7)));

    let stopped = Instant::now();
    machine.engine.stop(workspace).await.unwrap();
    println!("stop: {} ms", stopped.elapsed().as_millis());
    let started = Instant::now();
    machine.engine.start(machine.order(workspace, &container())).await.unwrap();
    println!("second start: {} ms", started.elapsed().as_millis());
    let mut viewer = Viewer::open(&mut machine, workspace).await;
    assert!(viewer.runs("cat file").await.contains("\nkept"));

    for _ in 0..2 {
        machine.engine.remove(workspace).await.unwrap();
        assert_eq!(machine.traces(workspace), Vec::<String>::new());
    }
}

#[tokio::test]
async fn another_agent_adopts_what_runs_and_ends_the_terminals_of_the_earlier_one() {
    let Some(mut machine) = Machine::start("adopt").await else { return };
    let workspace = machine.start_workspace(&container()).await;
    let mut viewer = Viewer::open(&mut machine, workspace).await;
    viewer.runs("nohup sleep 4441 >/dev/null 2>&1 & echo started").await;
    viewer.types("sleep 4442\n").await;
    let runs = |what: &str| {
        let processes = machine.processes(workspace);
        processes.contains(what)
    };
    until("both sleepers", || runs("sleep 4441") && runs("sleep 4442")).await;
    let before = machine.engine_says(&["inspect", "--format", "{{.Id}}", &Machine::container_name(workspace)]);

    machine.restart_agent().await;
    machine.engine.end_leftovers(workspace).await.unwrap();
    let runs = |what: &str| {
        let processes = machine.processes(workspace);
        processes.contains(what)
    };
    assert!(runs("sleep 4441"), "a job that outlives its terminal goes on");
    assert!(!runs("sleep 4442") && !runs("bash -l"), "the terminal does not");
    machine.engine.start(machine.order(workspace, &container())).await.unwrap();
    let after = machine.engine_says(&["inspect", "--format", "{{.Id}}", &Machine::container_name(workspace)]);
    assert_eq!(before, after);
    let mut viewer = Viewer::open(&mut machine, workspace).await;
    viewer.runs("echo back").await;
    machine.engine.remove(workspace).await.unwrap();
}

#[tokio::test]
async fn a_terminal_that_is_ended_takes_with_it_all_that_it_started() {
    let Some(mut machine) = Machine::start("ended terminal").await else { return };
    let workspace = machine.start_workspace(&container()).await;
    let mut viewer = Viewer::open(&mut machine, workspace).await;
    viewer
        .runs("trap '' HUP; nohup sleep 4443 >/dev/null 2>&1 & setsid sleep 4444 & env -i sleep 4445 & echo ok")
        .await;
    let running = || machine.processes(workspace);
    until("three sleepers", || ["4443", "4444", "4445"].iter().all(|number| running().contains(number))).await;
    viewer.handle.tell(Command::End(CloseReason::WorkspaceEnded)).await;
    assert_eq!(viewer.sees_the_end().await, CloseReason::WorkspaceEnded);
    viewer.handle.ended().await;
    assert!(!running().contains("sleep 444"), "{}", running());
    machine.engine.remove(workspace).await.unwrap();
}

#[tokio::test]
async fn a_removal_during_a_start_calls_it_off_and_leaves_nothing() {
    let Some(machine) = Machine::start("called off").await else { return };
    let workspace = machine.start_workspace(&container()).await;
    // As if its repository had said so.
    let note = machine.volume_root(workspace).join("meta/prepared.json");
    let mut prepared: serde_json::Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    prepared["post_create"] = serde_json::json!([["postCreateCommand", ["sleep", "4443"]]]);
    std::fs::write(&note, prepared.to_string()).unwrap();
    machine.engine.stop(workspace).await.unwrap();

    let mut node = node::start(&machine).await;
    node.handle_message(node::ensure(workspace, 2, &container())).await;
    node::goes_on_until(&mut node, "its command runs", || machine.processes(workspace).contains("sleep 4443")).await;
    node.handle_message(ControlMessage::RemoveWorkspace { workspace_id: workspace, spec_generation: 3 }).await;
    node::goes_on_until(&mut node, "nothing of it is left", || machine.traces(workspace).is_empty()).await;
}

#[tokio::test]
async fn a_machine_that_is_lost_runs_no_container_and_keeps_its_files() {
    let Some(machine) = Machine::start("lost").await else { return };
    let workspace = WorkspaceId::from_entropy(rand::random());
    let mut node = node::start(&machine).await;
    node.handle_message(node::ensure(workspace, 1, &container())).await;
    let name = Machine::container_name(workspace);
    let is_there = || machine.engine_says(&["ps", "-a", "--format", "{{.Names}}"]).contains(&name);
    node::goes_on_until(&mut node, "it runs", || machine.processes(workspace).contains("sleep")).await;
    node.give_up("The firewall is gone.".into());
    node::goes_on_until(&mut node, "its container is gone", || !is_there()).await;
    let image = machine.volume_root(workspace).with_extension("img");
    assert!(image.exists(), "{}", image.display());
    machine.engine.remove(workspace).await.unwrap();
}

#[tokio::test]
async fn a_container_that_ends_by_itself_says_with_which_code_in_words() {
    let Some(mut machine) = Machine::start("ended").await else { return };
    let workspace = machine.start_workspace(&container()).await;
    let hook = machine.volume_root(workspace).join("workspace/.ringfence/save");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let state = machine.engine_says(&["inspect", "--format", "{{.State.Pid}}", &Machine::container_name(workspace)]);
    let first = rustix::process::Pid::from_raw(state.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    let broke = |said: &Said| match said {
        Said::Broke { error, .. } => Some(error.detail.clone()),
        Said::Step { .. }
        | Said::Progress(_)
        | Said::Notice { .. }
        | Said::Posture { .. }
        | Said::Saved { .. }
        | Said::AllSaved => None,
    };
    let unsaved = |said: &Said| match said {
        Said::Saved { saved, .. } => Some(saved.clone()),
        Said::Step { .. }
        | Said::Progress(_)
        | Said::Notice { .. }
        | Said::Posture { .. }
        | Said::Broke { .. }
        | Said::AllSaved => None,
    };
    let saved = machine.hears("what came of its save hook", unsaved).await;
    assert_eq!(saved.outcome, SaveOutcome::Failed);
    assert_eq!(saved.detail, "It could not be run: its container had ended already");
    let detail = machine.hears("its end", broke).await;
    assert!(detail.contains("has ended, though nobody stopped it: with exit code 137 (killed by SIGKILL"), "{detail}");
    machine.engine.remove(workspace).await.unwrap();
}
