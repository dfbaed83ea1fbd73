//! A container's way to its agent: a socket that only its own user reaches.

use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use ringfence_protocol::ids::WorkspaceId;

use crate::support::machine::{Machine, container};
use crate::support::node;

/// Connects, says a line and prints the answer; or why not.
const CLIENT: &str = r#"socket(S, 1, 1, 0); connect(S, pack("S a*", 1, "$ENV{RINGFENCE_SOCKET}\0")) or die "$!\n"; syswrite(S, "$ARGV[0]\n"); print scalar <S>"#;

/// Runs it in the container as a user, beside the node.
fn asks(machine: &Machine, workspace: WorkspaceId, user: &str, line: &str) -> Receiver<String> {
    let name = Machine::container_name(workspace);
    let mut command: Command = machine.command();
    command.args(["exec", "--user", user, &name, "perl", "-e", CLIENT, line]);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let output = command.output().unwrap();
        let _ = sender.send(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned());
    });
    receiver
}

#[tokio::test]
async fn the_workspaces_user_is_answered_and_nobody_else_gets_in() {
    let Some(machine) = Machine::start("socket").await else { return };
    let workspace = WorkspaceId::from_entropy(rand::random());
    let mut node = node::start(&machine).await;
    node.handle_message(node::ensure(workspace, 1, &container())).await;
    let socket = machine.run_dir().join(workspace.to_string()).join("socket/agent.sock");
    node::goes_on_until(&mut node, "there is a socket", || socket.exists()).await;
    for (user, line, wanted) in [
        ("1000", "assistant coder", "ok\n"),
        ("1000", "keep-awake 60", "ok 60\n"),
        ("1000", "what?", "error say"),
        ("1234", "keep-awake 60", "Permission denied"),
    ] {
        let asked = asks(&machine, workspace, user, line);
        let answer = std::cell::RefCell::new(None);
        node::goes_on_until(&mut node, "an answer", || {
            *answer.borrow_mut() = asked.try_recv().ok();
            answer.borrow().is_some()
        })
        .await;
        let answer = answer.into_inner().unwrap();
        assert!(answer.contains(wanted), "{user} {line}: {answer}");
    }
    machine.engine.remove(workspace).await.unwrap();
    assert!(!socket.exists());
}
