//! Signs of use, told by a whole agent; and the save step before an end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{AgentMessage, ChannelId, ControlMessage, WorkspacePhase};
use ringfence_protocol::state::{ActivityCause, SaveOutcome};
use ringfence_protocol::terminal::ViewerFrame;

use crate::support::agent::{Agent, Machine};
use crate::support::control_plane::ControlPlane;
use crate::support::link::Link;
use crate::support::screen::Screen;
use crate::support::until;

/// Signs are told each second then.
const IDLE_SECS: Option<u64> = Some(4);

pub(crate) struct Stage {
    control_plane: ControlPlane,
    machine: Machine,
    pub(crate) agent: Agent,
    pub(crate) link: Link,
    pub(crate) workspace: WorkspaceId,
}

pub(crate) async fn stage(save_within_secs: Option<u64>) -> Stage {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let workspace = WorkspaceId::from_entropy(rand::random());
    link.ensure_within(workspace, 1, true, (IDLE_SECS, save_within_secs));
    let report = link.report(workspace).await;
    assert_eq!(report.activity.map(|activity| activity.cause), Some(ActivityCause::Started), "{report:?}");
    Stage { control_plane, machine, agent, link, workspace }
}

impl Stage {
    pub(crate) async fn used(&mut self) -> ActivityCause {
        let wanted = |message| match message {
            AgentMessage::Activity { activity, .. } => Some(activity.cause),
            _ => None,
        };
        self.link.message("a sign of use", wanted).await
    }

    async fn used_by(&mut self, cause: ActivityCause) {
        while self.used().await != cause {}
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.machine.options.state_dir.join("workspaces").join(self.workspace.to_string())
    }

    fn hook(&self, script: &str) {
        let home = self.home();
        std::fs::create_dir_all(home.join(".ringfence")).unwrap();
        let hook = home.join(".ringfence/save");
        std::fs::write(&hook, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn saved(&mut self) -> (SaveOutcome, String) {
        let wanted = |message| match message {
            AgentMessage::Saved { outcome, detail, .. } => Some((outcome, detail)),
            _ => None,
        };
        self.link.message("what became of the hook", wanted).await
    }
}

#[tokio::test]
async fn typing_looking_and_working_are_told_and_work_goes_on_to_be_told_when_the_tab_is_closed() {
    let mut s = stage(None).await;
    let mut screen = Screen::new(s.workspace);
    screen.open(&s.control_plane, &mut s.link, 1).await;
    screen.type_text(&s.link, "echo rea''dy\n");
    screen.shows(&mut s.link, "ready\r\n").await;
    assert!(matches!(s.used().await, ActivityCause::TerminalInput | ActivityCause::TerminalOutput));
    screen.type_text(&s.link, "while :; do echo tick; sleep 0.2; done\n");
    s.used_by(ActivityCause::TerminalOutput).await;
    screen.type_text(&s.link, "\u{3}while :; do :; done\n");
    s.link.say(&ControlMessage::CloseChannel { channel: ChannelId(1) });
    for _ in 0..3 {
        s.used_by(ActivityCause::Process).await;
    }
    s.agent.stop().await;
}

#[tokio::test]
async fn an_open_tab_says_nothing_and_the_next_hello_tells_what_was_used_meanwhile() {
    let mut s = stage(None).await;
    let mut screen = Screen::new(s.workspace);
    screen.open(&s.control_plane, &mut s.link, 1).await;
    screen.type_text(&s.link, "echo rea''dy\n");
    screen.shows(&mut s.link, "ready\r\n").await;
    let mut told: Vec<ActivityCause> = Vec::new();
    // Until nothing came for as long as the workspace may be idle: it would have been stopped.
    while let Ok(cause) = tokio::time::timeout(Duration::from_secs(4), s.used()).await {
        told.push(cause);
        assert!(told.len() < 4, "an open tab with a silent prompt counts as use: {told:?}");
    }
    screen.type_text(&s.link, "while :; do :; done\n");
    s.used_by(ActivityCause::Process).await;
    drop(s.link);
    let mut link = s.control_plane.link().await;
    let hello = link.welcome(s.control_plane.node_id).await;
    let activity = hello.workspaces[0].activity.unwrap();
    assert_eq!(activity.cause, ActivityCause::Process);
    s.agent.stop().await;
}

#[tokio::test]
async fn what_came_of_a_hook_is_told_on_the_next_link_where_there_was_none() {
    let mut s = stage(Some(10)).await;
    s.hook("touch begun; while [ -e begun ]; do sleep 0.05; done; echo pushed");
    s.link.ensure_within(s.workspace, 2, false, (IDLE_SECS, Some(10)));
    let begun = s.home().join("begun");
    until("the hook to run", || begun.exists()).await;
    // Lost while it runs; over before there is another.
    drop(s.link);
    std::fs::remove_file(begun).unwrap();
    for _ in 0..2 {
        s.link = s.control_plane.link().await;
        s.link.hello().await;
        assert_eq!(s.saved().await, (SaveOutcome::Saved, "pushed".to_owned()), "until it is old");
        drop(s.link);
    }
    s.agent.stop().await;
}

#[tokio::test]
async fn the_save_hook_runs_before_a_stop_and_what_comes_of_it_is_told_and_stops_nothing() {
    let mut s = stage(Some(1)).await;
    let mut generation = 1;
    for (script, outcome, said) in [
        ("pwd > kept; echo pushed", SaveOutcome::Saved, "pushed"),
        ("echo no remote; exit 3", SaveOutcome::Failed, "It ended with 3. no remote"),
        ("echo begun; sleep 60", SaveOutcome::TimedOut, "It took longer than it may. begun"),
    ] {
        s.hook(script);
        generation += 1;
        s.link.ensure_within(s.workspace, generation, false, (IDLE_SECS, Some(1)));
        assert_eq!(s.saved().await, (outcome, said.to_owned()));
        assert_eq!(s.link.report(s.workspace).await.phase, WorkspacePhase::Stopped);
        generation += 1;
        s.link.ensure_within(s.workspace, generation, true, (IDLE_SECS, Some(1)));
        assert_eq!(s.link.report(s.workspace).await.phase, WorkspacePhase::Running);
    }
    let home = s.machine.options.state_dir.join("workspaces").join(s.workspace.to_string());
    assert_eq!(std::fs::read_to_string(home.join("kept")).unwrap().trim(), home.to_str().unwrap());
    // A removal saves too, while the files are there.
    s.hook("echo last words");
    s.link.say(&ControlMessage::RemoveWorkspace { workspace_id: s.workspace, spec_generation: generation + 1 });
    assert_eq!(s.saved().await, (SaveOutcome::Saved, "last words".to_owned()));
    assert_eq!(s.link.report(s.workspace).await.phase, WorkspacePhase::Absent);
    s.agent.stop().await;
}

#[tokio::test]
async fn before_its_machine_is_destroyed_everything_saves_once_and_says_when_it_is_done() {
    let mut s = stage(None).await;
    s.hook("echo once; date >> saves");
    let all = |message| (message == AgentMessage::SavedAll).then_some(());
    s.link.say(&ControlMessage::SaveAll);
    assert_eq!(s.saved().await.1, "once");
    s.link.message("that all is saved", all).await;
    s.link.say(&ControlMessage::SaveAll);
    s.link.message("that all is saved", all).await;
    let home = s.machine.options.state_dir.join("workspaces").join(s.workspace.to_string());
    assert_eq!(std::fs::read_to_string(home.join("saves")).unwrap().lines().count(), 1);
    s.agent.stop().await;
}

#[tokio::test]
async fn a_hook_that_runs_before_a_removal_is_waited_for_before_all_is_saved_and_runs_once() {
    let mut s = stage(None).await;
    let marks = tempfile::tempdir().unwrap();
    let path = marks.path().display();
    // It goes on when it is let.
    s.hook(&format!("echo ran >> {path}/runs; while [ ! -e {path}/go ]; do sleep 0.05; done; echo done"));
    s.link.say(&ControlMessage::RemoveWorkspace { workspace_id: s.workspace, spec_generation: 2 });
    until("the hook", || marks.path().join("runs").exists()).await;
    s.link.say(&ControlMessage::SaveAll);
    // What is said of another workspace shows that the word was taken.
    let other = WorkspaceId::from_entropy(rand::random());
    s.link.ensure(other, 1, true);
    let mut said = Vec::new();
    let wanted = |message| {
        match message {
            AgentMessage::Workspace(report) if report.workspace_id == other => {
                std::fs::write(marks.path().join("go"), "").unwrap();
            }
            AgentMessage::Saved { outcome, detail, .. } => said.push((outcome, detail)),
            AgentMessage::SavedAll => return Some(()),
            _ => {}
        }
        None
    };
    s.link.message("that all is saved", wanted).await;
    assert_eq!(said, [(SaveOutcome::Saved, "done".to_owned())]);
    assert_eq!(std::fs::read_to_string(marks.path().join("runs")).unwrap(), "ran\n");
    s.agent.stop().await;
}

#[tokio::test]
async fn a_link_that_is_lost_while_a_hook_runs_loses_neither_the_stop_nor_a_start_that_was_asked_since() {
    let s = stage(None).await;
    let marks = tempfile::tempdir().unwrap();
    let path = marks.path().display();
    s.hook(&format!("touch {path}/runs; while [ ! -e {path}/go ]; do sleep 0.05; done"));
    let Stage { mut control_plane, machine: _machine, agent, mut link, workspace } = s;
    link.ensure(workspace, 2, false);
    until("the hook", || marks.path().join("runs").exists()).await;
    for later in [None, Some(3)] {
        if let Some(generation) = later {
            link.ensure(workspace, generation, true);
            // The report of another workspace shows that the start was taken.
            link.make_workspace().await;
        }
        drop(link);
        link = control_plane.link().await;
        let hello = link.welcome(control_plane.node_id).await;
        let told = hello.workspaces.iter().find(|report| report.workspace_id == workspace).unwrap();
        assert!(told.spec_generation < 2, "the stop is not done: {told:?}");
        // What a control plane says to that.
        link.ensure(workspace, later.unwrap_or(2), later.is_some());
    }
    std::fs::write(marks.path().join("go"), "").unwrap();
    let report = link.report(workspace).await;
    assert_eq!((report.spec_generation, report.phase), (3, WorkspacePhase::Running));
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_whose_control_plane_is_silent_for_too_long_lets_workspaces_save_ends_them_and_itself() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let mut config = machine.config();
    config.dead_man_after_secs = Some(2);
    std::fs::write(&machine.options.config, serde_json::to_vec(&config).unwrap()).unwrap();
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let workspace = link.make_workspace().await;
    let s = Stage { control_plane, machine, agent, link, workspace };
    let marks = tempfile::tempdir().unwrap();
    s.hook(&format!("echo saved > {}/mark", marks.path().display()));
    // Each dialing is a contact: only one that goes nowhere is none.
    let Stage { control_plane, machine, agent, link, .. } = s;
    drop(link);
    drop(control_plane);
    let ended = crate::support::soon("the switch", agent.task).await.unwrap().unwrap();
    assert_eq!(ended, vm_agent::agent::Ended::SwitchedOff);
    assert_eq!(std::fs::read_to_string(marks.path().join("mark")).unwrap(), "saved\n");
    assert!(vm_agent::processes::of_workspace(workspace, &[]).is_empty());
    // One that starts again without having reached anybody ends again, before it has a link.
    let again = machine.start();
    let ended = crate::support::soon("the switch, again", again.task).await.unwrap().unwrap();
    assert_eq!(ended, vm_agent::agent::Ended::SwitchedOff);
}

#[tokio::test]
async fn what_is_put_out_in_a_tab_that_nobody_sees_is_no_use() {
    let mut s = stage(None).await;
    let mut screen = Screen::new(s.workspace);
    screen.open(&s.control_plane, &mut s.link, 1).await;
    // Two a second, and next to no processor time.
    screen.type_text(&s.link, "while :; do echo tick; read -t 0.5 x; done\n");
    s.used_by(ActivityCause::TerminalOutput).await;
    s.link.send_frame(screen.channel, ViewerFrame::Visibility { hidden: true });
    let mut told = 0;
    // Until nothing came for as long as the workspace may be idle: it would have been stopped.
    while tokio::time::timeout(Duration::from_secs(4), s.used()).await.is_ok() {
        told += 1;
        assert!(told < 6, "a hidden tab counts as use");
    }
    s.link.send_frame(screen.channel, ViewerFrame::Visibility { hidden: false });
    s.used_by(ActivityCause::TerminalOutput).await;
    s.agent.stop().await;
}
