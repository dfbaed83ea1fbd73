//! The agent's own end, wanted or not.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::agent::Machine;
use crate::support::control_plane::ControlPlane;
use crate::support::screen::Screen;
use crate::support::{soon, until};

#[tokio::test]
async fn a_killed_agent_comes_back_with_another_epoch_and_leaves_nothing_behind() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let mut agent = machine.spawn();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let workspace = link.make_workspace().await;
    let mut screen = Screen::new(workspace);
    screen.open(&control_plane, &mut link, 1).await;
    screen.type_text(&link, "nohup sleep 5432 >/dev/null 2>&1 & while :; do echo flood; done\n");
    screen.shows(&mut link, "flood\r\nflood").await;
    let old = vm_agent::processes::of_workspace(workspace, &[]);
    assert!(old.len() >= 2, "{old:?}");
    agent.start_kill().unwrap();
    agent.wait().await.unwrap();

    let mut agent = machine.spawn();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let left = vm_agent::processes::of_workspace(workspace, &[]);
    assert!(left.iter().all(|pid| !old.contains(pid)), "{left:?} of {old:?}");
    let old_epoch = screen.epoch;
    screen.open(&control_plane, &mut link, 1).await;
    assert_ne!(screen.epoch, old_epoch);
    screen.type_text(&link, "echo ba''ck\n");
    screen.shows(&mut link, "back").await;
    assert_eq!(screen.resets, 2, "the first had nothing, the second another shell");

    let pid = i32::try_from(agent.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let status = soon("the end", agent.wait()).await.unwrap();
    assert!(status.success(), "{status}");
    link.ended().await;
    until("no process", || vm_agent::processes::of_workspace(workspace, &[]).is_empty()).await;
}

#[tokio::test]
async fn the_agent_listens_on_nothing() {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.spawn();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    link.make_workspace().await;
    let pid = agent.id().unwrap();
    let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|target| {
            let target = target.to_str()?;
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    assert!(!inodes.is_empty());
    for table in ["tcp", "tcp6"] {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_ours = inodes.iter().any(|inode| inode == fields[9]);
            assert!(!(is_ours && fields[3] == "0A"), "listens: {line}");
        }
    }
}
