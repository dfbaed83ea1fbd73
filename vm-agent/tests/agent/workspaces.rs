//! Workspaces are made what was asked, once, and never what was asked before.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{CloseReason, ControlMessage, WorkspacePhase, WorkspaceReport};

use crate::support::agent::Machine;
use crate::support::bench::Bench;
use crate::support::control_plane::ControlPlane;
use crate::support::screen::Screen;
use crate::support::until;

#[tokio::test]
async fn repeated_commands_are_harmless_and_older_ones_refused() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let workspace = WorkspaceId::from_entropy(rand::random());

    for _ in 0..2 {
        link.ensure(workspace, 5, true);
        let report = link.report(workspace).await;
        assert_eq!((report.spec_generation, report.phase), (5, WorkspacePhase::Running));
    }
    link.ensure(workspace, 4, false);
    let report = link.report(workspace).await;
    assert_eq!((report.spec_generation, report.phase), (5, WorkspacePhase::Running));

    link.ensure(workspace, 6, false);
    let report = link.report(workspace).await;
    assert_eq!((report.spec_generation, report.phase), (6, WorkspacePhase::Stopped));

    link.say(&ControlMessage::RemoveWorkspace { workspace_id: workspace, spec_generation: 7 });
    let report = link.report(workspace).await;
    assert_eq!((report.spec_generation, report.phase), (7, WorkspacePhase::Absent));
    link.ensure(workspace, 6, true);
    let report = link.report(workspace).await;
    assert_eq!((report.spec_generation, report.phase), (7, WorkspacePhase::Absent));
    agent.stop().await;
}

#[tokio::test]
async fn a_removed_workspace_leaves_no_process_and_no_file() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let workspace = link.make_workspace().await;
    let home = machine.options.state_dir.join("workspaces").join(workspace.to_string());
    let mut screen = Screen::new(workspace);
    screen.open(&control_plane, &mut link, 1).await;
    // One that ignores the hang-up, one in a session of its own, one without the marker.
    screen
        .type_text(&link, "trap '' HUP; nohup sleep 4321 >/dev/null 2>&1 & setsid sleep 4322 & env -i sleep 4323 &\n");
    screen.type_text(&link, "touch ~/made; echo sta''rted\n");
    screen.shows(&mut link, "started").await;
    assert!(home.join("made").exists());
    until("three sleepers", || vm_agent::processes::of_workspace(workspace, &[]).len() >= 3).await;

    link.say(&ControlMessage::RemoveWorkspace { workspace_id: workspace, spec_generation: 2 });
    assert_eq!(link.closed(screen.channel).await, CloseReason::WorkspaceEnded);
    assert_eq!(link.report(workspace).await.phase, WorkspacePhase::Absent);
    assert!(!home.exists());
    assert_eq!(vm_agent::processes::of_workspace(workspace, &[]), Vec::<i32>::new());
    agent.stop().await;
}

#[tokio::test]
async fn a_stopped_workspace_keeps_its_files_and_takes_no_viewers() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let workspace = link.make_workspace().await;
    let mut screen = Screen::new(workspace);
    screen.open(&control_plane, &mut link, 1).await;
    screen.type_text(&link, "echo kept > ~/file; echo do''ne\n");
    screen.shows(&mut link, "done").await;

    link.ensure(workspace, 2, false);
    assert_eq!(link.report(workspace).await.phase, WorkspacePhase::Stopped);
    let mut late = Screen::new(workspace);
    late.ask(&control_plane, &mut link, 2);
    assert_eq!(link.closed(late.channel).await, CloseReason::WorkspaceNotRunning);

    link.ensure(workspace, 3, true);
    assert_eq!(link.report(workspace).await.phase, WorkspacePhase::Running);
    let mut back = Screen::new(workspace);
    back.open(&control_plane, &mut link, 3).await;
    back.type_text(&link, "cat ~/file\n");
    back.shows(&mut link, "kept\r\n").await;
    agent.stop().await;
}

#[tokio::test]
async fn what_was_asked_is_made_so_again_after_a_restart() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let workspace = link.make_workspace().await;
    agent.stop().await;

    let agent = machine.start();
    let mut link = control_plane.link().await;
    let hello = link.welcome(control_plane.node_id).await;
    assert_eq!(hello.workspaces[0].workspace_id, workspace);
    let mut screen = Screen::new(workspace);
    screen.open(&control_plane, &mut link, 1).await;
    agent.stop().await;
}

/// A control plane that believed them would give the place away, or take an owner's start for over.
#[tokio::test]
async fn a_hello_says_nothing_to_be_so_that_is_under_way() {
    let mut bench = Bench::new().await;
    let workspace = WorkspaceId::from_entropy([1; 13]);
    let told = |reports: Vec<WorkspaceReport>| (reports[0].spec_generation, reports[0].phase);
    bench.ensure(workspace, 1).await;
    assert_eq!(told(bench.relink().await), (0, WorkspacePhase::Stopped), "something of it is there by now");
    assert_eq!(bench.report().await.phase, WorkspacePhase::Running);
    bench.ensure(workspace, 2).await;
    assert_eq!(told(bench.relink().await), (2, WorkspacePhase::Running), "it goes on running");
    assert_eq!(bench.report().await.phase, WorkspacePhase::Running);
    bench.node.handle_message(ControlMessage::RemoveWorkspace { workspace_id: workspace, spec_generation: 3 }).await;
    bench.ensure(workspace, 4).await;
    assert_eq!(told(bench.relink().await), (2, WorkspacePhase::Stopped));
    let report = bench.report().await;
    assert_eq!((report.spec_generation, report.phase), (4, WorkspacePhase::Running));
    assert_eq!(told(bench.relink().await), (4, WorkspacePhase::Running));
}
