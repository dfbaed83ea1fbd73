//! Terminals over the link.

use ringfence_protocol::claims::{SessionClaims, WorkspaceClaims};
use ringfence_protocol::ids::{GrantId, JwtId, NodeId, SessionId, TenantId, UserId, WorkspaceId};
use ringfence_protocol::link::{ChannelId, CloseReason, ControlMessage};
use ringfence_protocol::state::Permission;
use ringfence_protocol::terminal::{Exit, ViewerFrame};

use crate::support::agent::{Agent, Machine};
use crate::support::control_plane::ControlPlane;
use crate::support::link::Link;
use crate::support::screen::Screen;

/// A node with one running workspace.
struct Stage {
    control_plane: ControlPlane,
    _machine: Machine,
    agent: Agent,
    link: Link,
    workspace: WorkspaceId,
}

async fn stage() -> Stage {
    let mut control_plane = ControlPlane::start().await;
    let machine = Machine::new(&control_plane);
    let agent = machine.start();
    let mut link = control_plane.link().await;
    link.welcome(control_plane.node_id).await;
    let workspace = link.make_workspace().await;
    Stage { control_plane, _machine: machine, agent, link, workspace }
}

#[tokio::test]
async fn what_is_typed_runs_in_a_clean_environment() {
    let mut s = stage().await;
    let mut screen = Screen::new(s.workspace);
    screen.open(&s.control_plane, &mut s.link, 1).await;
    let opened = screen.opened.unwrap();
    assert!(opened.unconfined && !opened.read_only);
    screen.type_text(&s.link, "env | sort; stty size; tty; echo e''nd\n");
    screen.shows(&mut s.link, "end\r\n").await;
    let text = screen.text();
    assert!(text.contains("TERM=xterm-256color"), "{text}");
    assert!(text.contains(&format!("RINGFENCE_WORKSPACE={}", s.workspace)), "{text}");
    assert!(text.contains("24 80") && text.contains("/dev/pts/"), "{text}");
    for secret in ["CARGO", "callback-", "bootstrap"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    screen.type_text(&s.link, "ls -l /proc/self/fd; echo e''nd2\n");
    screen.shows(&mut s.link, "end2\r\n").await;
    for leak in ["socket:", "eventpoll", "ptmx", "/state/", ".json"] {
        let listing = screen.text();
        let listing = listing.rsplit_once("total 0").unwrap().1;
        assert!(!listing.contains(leak), "{leak} is open in the shell: {listing}");
    }
    s.agent.stop().await;
}

#[tokio::test]
async fn a_dropped_link_loses_and_doubles_nothing() {
    let mut s = stage().await;
    let mut screen = Screen::new(s.workspace);
    screen.open(&s.control_plane, &mut s.link, 1).await;
    screen.type_text(
        &s.link,
        "stty -echo; PS1=; for i in $(seq 1 40); do seq -f \"$i:%g\" 1 200; sleep 0.02; done; echo fin''ished\n",
    );
    screen.shows(&mut s.link, "3:200\r\n").await;
    let mut drops = 0;
    while !screen.text().contains("finished") {
        drop(s.link);
        drops += 1;
        s.link = s.control_plane.link().await;
        s.link.welcome(s.control_plane.node_id).await;
        screen.open(&s.control_plane, &mut s.link, 1).await;
        let target = screen.drawn.len() + 12_000;
        while screen.drawn.len() < target && !screen.text().contains("finished") {
            assert!(screen.draw(&mut s.link).await);
        }
    }
    assert!(drops >= 2, "{drops}");
    let text = screen.text();
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains(':') && line.starts_with(|c: char| c.is_ascii_digit())).collect();
    let wanted: Vec<String> = (1..=40).flat_map(|i| (1..=200).map(move |j| format!("{i}:{j}"))).collect();
    assert_eq!(lines.len(), wanted.len());
    assert!(lines.iter().zip(&wanted).all(|(got, wanted)| got == wanted));
    assert_eq!(screen.resets, 1, "only the first, which had nothing");
    s.agent.stop().await;
}

#[tokio::test]
async fn input_sent_again_after_a_drop_is_taken_once() {
    let mut s = stage().await;
    let mut screen = Screen::new(s.workspace);
    screen.open(&s.control_plane, &mut s.link, 1).await;
    screen.type_text(&s.link, "echo on''e >> ~/log\necho tw''o\n");
    screen.shows(&mut s.link, "two\r\n").await;
    drop(s.link);
    s.link = s.control_plane.link().await;
    s.link.welcome(s.control_plane.node_id).await;
    screen.open(&s.control_plane, &mut s.link, 1).await;
    let had = screen.opened.unwrap().input_offset;
    assert_eq!(had, screen.typed, "the terminal has all of it");
    // A viewer that does not know sends everything again.
    screen.typed = 0;
    screen.type_text(&s.link, "echo on''e >> ~/log\necho tw''o\n");
    screen.type_text(&s.link, "grep -c one ~/log; echo thr''ee\n");
    screen.shows(&mut s.link, "three\r\n").await;
    assert!(screen.text().contains("\r\n1\r\n"), "{}", screen.text());
    while screen.input_acknowledged < screen.typed {
        assert!(screen.draw(&mut s.link).await, "input is acknowledged in the end");
    }
    s.agent.stop().await;
}

#[tokio::test]
async fn a_slow_viewer_delays_nobody_and_gets_a_reset() {
    let mut s = stage().await;
    let mut fast = Screen::new(s.workspace);
    fast.open(&s.control_plane, &mut s.link, 1).await;
    let mut slow = Screen::new(s.workspace);
    slow.acknowledges = false;
    slow.open(&s.control_plane, &mut s.link, 2).await;
    fast.type_text(&s.link, "stty -echo; seq 1 200000; echo fin''ished\n");
    fast.shows(&mut s.link, "finished").await;
    assert_eq!(fast.resets, 1, "the fast one loses nothing");
    let text = fast.text();
    let numbers = text.lines().filter_map(|line| line.parse::<u32>().ok());
    assert!(numbers.eq(1..=200_000));

    // The slow one has a window's worth; once it acknowledges it is told where it goes on.
    while slow.offset < 200 * 1024 {
        assert!(slow.draw(&mut s.link).await);
    }
    let before = slow.resets;
    slow.acknowledges = true;
    slow.acknowledge(&s.link);
    slow.shows(&mut s.link, "finished").await;
    assert_eq!(slow.resets, before + 1);
    let text = slow.text();
    let numbers: Vec<u32> = text.lines().filter_map(|l| l.parse().ok()).collect();
    assert_eq!(numbers.last(), Some(&200_000));
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    s.agent.stop().await;
}

#[tokio::test]
async fn a_dead_viewer_alone_stalls_the_shell_two_seconds_at_most() {
    let mut s = stage().await;
    let mut dead = Screen::new(s.workspace);
    dead.acknowledges = false;
    dead.open(&s.control_plane, &mut s.link, 1).await;
    dead.type_text(&s.link, "seq 1 500000; touch ~/done\n");
    let done = s._machine.options.state_dir.join("workspaces").join(s.workspace.to_string()).join("done");
    crate::support::until("the end of the flood", || done.exists()).await;
    s.agent.stop().await;
}

#[tokio::test]
async fn the_size_follows_whoever_typed_last() {
    let mut s = stage().await;
    let mut first = Screen::new(s.workspace);
    first.open(&s.control_plane, &mut s.link, 1).await;
    let mut second = Screen::new(s.workspace);
    second.cells = (120, 40);
    second.open(&s.control_plane, &mut s.link, 2).await;
    while second.size != Some((80, 24)) {
        assert!(second.draw(&mut s.link).await);
    }
    second.type_text(&s.link, "stty size\n");
    second.shows(&mut s.link, "40 120").await;
    while first.size != Some((120, 40)) {
        assert!(first.draw(&mut s.link).await);
    }
    s.link.send_frame(first.channel, ViewerFrame::Resize { cols: 90, rows: 30 });
    while second.size != Some((90, 30)) {
        assert!(second.draw(&mut s.link).await);
    }
    first.type_text(&s.link, "stty size\n");
    first.shows(&mut s.link, "30 90").await;
    s.agent.stop().await;
}

#[tokio::test]
async fn a_read_only_viewer_sees_and_does_not_type() {
    let mut s = stage().await;
    let mut writer = Screen::new(s.workspace);
    writer.open(&s.control_plane, &mut s.link, 1).await;
    let mut reader = Screen::new(s.workspace);
    reader.permissions = vec![Permission::TerminalRead];
    reader.open(&s.control_plane, &mut s.link, 2).await;
    assert!(reader.opened.unwrap().read_only);
    writer.type_text(&s.link, "echo se''en\n");
    reader.shows(&mut s.link, "seen").await;
    reader.type_text(&s.link, "echo no\n");
    assert_eq!(s.link.closed(reader.channel).await, CloseReason::Invalid);
    writer.type_text(&s.link, "echo st''ill here\n");
    writer.shows(&mut s.link, "still here").await;
    assert!(!writer.text().contains("echo no"));
    s.agent.stop().await;
}

#[tokio::test]
async fn the_end_of_the_shell_is_told_and_a_new_one_has_another_epoch() {
    let mut s = stage().await;
    let mut screen = Screen::new(s.workspace);
    screen.open(&s.control_plane, &mut s.link, 1).await;
    screen.type_text(&s.link, "echo last wo''rds; exit 7\n");
    assert_eq!(s.link.closed(screen.channel).await, CloseReason::Exited);
    while screen.draw(&mut s.link).await {}
    assert!(screen.text().contains("last words"));
    assert_eq!(screen.exit, Some(Exit::Code(7)));
    let old = screen.epoch;
    screen.open(&s.control_plane, &mut s.link, 2).await;
    assert_ne!(screen.epoch, old);
    screen.type_text(&s.link, "kill -9 $$\n");
    while screen.draw(&mut s.link).await {}
    assert_eq!(screen.exit, Some(Exit::Signal(9)));
    s.agent.stop().await;
}

#[tokio::test]
async fn revocation_closes_channels_and_opens_no_more() {
    let mut s = stage().await;
    let mut revoked = Screen::new(s.workspace);
    revoked.open(&s.control_plane, &mut s.link, 1).await;
    let mut other = Screen::new(s.workspace);
    other.open(&s.control_plane, &mut s.link, 2).await;
    s.link.say(&ControlMessage::Revoke { sid: revoked.sid });
    assert_eq!(s.link.closed(revoked.channel).await, CloseReason::Revoked);
    revoked.ask(&s.control_plane, &mut s.link, 3);
    assert_eq!(s.link.closed(revoked.channel).await, CloseReason::Revoked);
    other.type_text(&s.link, "echo st''ays\n");
    other.shows(&mut s.link, "stays").await;
    s.agent.stop().await;
}

#[tokio::test]
async fn a_new_signing_key_locks_nobody_out_and_forged_ones_ask_for_keys_once() {
    let mut s = stage().await;
    s.control_plane.rotate_keys();
    let mut screen = Screen::new(s.workspace);
    screen.open(&s.control_plane, &mut s.link, 1).await;
    assert_eq!(s.control_plane.ledger().key_fetches, 1);

    let stranger = ControlPlane::start().await;
    for _ in 0..5 {
        stranger.rotate_keys();
    }
    for channel in 2..10 {
        let token = stranger.workspace_token(s.workspace, screen.sid, &screen.permissions);
        s.link.open_with(&screen, channel, token);
        let closed = s.link.closed(ChannelId(channel)).await;
        assert_eq!(closed, CloseReason::TokenRefused);
    }
    assert_eq!(s.control_plane.ledger().key_fetches, 1);
    s.agent.stop().await;
}

#[tokio::test]
async fn tokens_that_are_not_for_this_open_nothing() {
    let mut s = stage().await;
    let good = s.control_plane.workspace_token(
        s.workspace,
        GrantId::Session(SessionId::from_entropy([1; 13])),
        &[Permission::TerminalRead],
    );
    let elsewhere = WorkspaceId::from_entropy(rand::random());
    let sid = GrantId::Session(SessionId::from_entropy([2; 13]));
    let stranger = ControlPlane::start().await;
    let mut forged = good.clone();
    forged.replace_range(good.len() - 4.., if good.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    let session = SessionClaims {
        sid: SessionId::from_entropy([1; 13]),
        user: UserId::from_entropy([1; 13]),
        tenant: TenantId::from_entropy([1; 13]),
    };
    let expired = WorkspaceClaims {
        jti: JwtId::from_entropy([1; 13]),
        user: UserId::from_entropy([1; 13]),
        workspace: s.workspace,
        node: s.control_plane.node_id,
        permissions: vec![Permission::TerminalRead],
        sid,
    };
    let other_node = WorkspaceClaims { node: NodeId::from_entropy([9; 13]), ..expired.clone() };
    let now = vm_agent::clock::machine_now().as_secs();
    let tokens = [
        s.control_plane.sign(session, now + 3600),
        s.control_plane.sign(expired, now - 61),
        s.control_plane.sign(other_node, now + 3600),
        String::new(),
        "garbage".into(),
        forged,
        s.control_plane.workspace_token(elsewhere, sid, &[Permission::TerminalRead]),
        s.control_plane.workspace_token(s.workspace, sid, &[Permission::TerminalWrite]),
        stranger.workspace_token(s.workspace, sid, &[Permission::TerminalRead]),
    ];
    let screen = Screen::new(s.workspace);
    let mut channel = 10;
    for token in tokens {
        channel += 1;
        s.link.open_with(&screen, channel, token);
        let closed = s.link.closed(ChannelId(channel)).await;
        assert_eq!(closed, CloseReason::TokenRefused, "token {channel}");
    }
    s.agent.stop().await;
}
