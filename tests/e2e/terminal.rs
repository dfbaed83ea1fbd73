//! Terminals over the relay: sizes, several viewers, slow ones, read-only ones, every byte as it is.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::close_code;
use ringfence_protocol::state::WorkspaceState;
use ringfence_protocol::terminal::Exit;
use xtask::client::Terminal;

use crate::viewing::{OUTPUT_LIMIT, every_number_once, fast_count, file_of, look, look_only, lost, quiet_shell};
use crate::world::{LIMIT, Person, Setting, World, story};

/// Lines that are more than the agent keeps for somebody who does not keep up.
const FLOOD_LINES: u32 = 300_000;
/// Each byte there is, this many times.
const EACH_BYTE: usize = 40;

#[tokio::test]
async fn the_terminal_has_the_size_of_who_typed_or_resized_last() -> Result<()> {
    with_workspace(async |_, ada, workspace| {
        let mut small = look(ada, workspace, "main", 80, 24).await?;
        small.type_line("stty size").await?;
        small.wait_for("24 80\r\n", OUTPUT_LIMIT).await?;

        let mut large = look(ada, workspace, "main", 100, 30).await?;
        large.resize(120, 40).await?;
        told_size(&mut small, (120, 40)).await?;
        large.type_line("stty size").await?;
        large.wait_for("40 120\r\n", OUTPUT_LIMIT).await?;

        small.type_line("stty size").await?;
        small.wait_for("24 80\r\n", OUTPUT_LIMIT).await?;
        told_size(&mut large, (80, 24)).await
    })
    .await
}

#[tokio::test]
async fn a_read_only_viewer_sees_everything_and_types_nothing() -> Result<()> {
    with_workspace(async |world, ada, workspace| {
        let mut writer = quiet_shell(ada, workspace).await?;
        let mut reader = look_only(ada, workspace).await?;
        ensure!(reader.opened().read_only && !writer.opened().read_only, "each is told what it may");
        writer.type_line("echo for \"\"both").await?;
        writer.wait_for("for both", OUTPUT_LIMIT).await?;
        reader.wait_for("for both", OUTPUT_LIMIT).await?;

        reader.type_line("touch typed-by-the-reader").await?;
        ensure!(lost(&mut reader).await? == close_code::INVALID, "typing is a violation");
        writer.type_line("ls; echo that \"\"is all").await?;
        let listing = writer.wait_for("that is all", OUTPUT_LIMIT).await?;
        ensure!(!String::from_utf8_lossy(&listing).contains("typed-by-the-reader"), "the command has run");
        ensure!(!home_of(world, workspace).await?.join("typed-by-the-reader").exists(), "the command has run");

        let mut resizer = look_only(ada, workspace).await?;
        resizer.resize(132, 50).await?;
        ensure!(lost(&mut resizer).await? == close_code::INVALID, "resizing is a violation");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn several_viewers_get_every_byte_once() -> Result<()> {
    with_workspace(async |_, ada, workspace| {
        let mut first = quiet_shell(ada, workspace).await?;
        let mut viewers = try_join_all((0..4).map(|_| look(ada, workspace, "main", 80, 24))).await?;
        first.type_line(&fast_count(20_000)).await?;
        viewers.push(first);
        let outputs = viewers.iter_mut().map(|viewer| viewer.wait_for("all printed\r\n", OUTPUT_LIMIT));
        for output in try_join_all(outputs).await? {
            every_number_once(&output, 20_000)?;
        }
        ensure!(viewers.windows(2).all(|pair| pair[0].offset() == pair[1].offset()), "all are at the same byte");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_slow_viewer_stalls_nobody_and_is_told_to_start_anew() -> Result<()> {
    with_workspace(async |_, ada, workspace| {
        let mut fast = quiet_shell(ada, workspace).await?;
        let mut slow = look(ada, workspace, "main", 80, 24).await?;
        slow.wait_for("quiet now", OUTPUT_LIMIT).await?;
        let resets = (fast.resets(), slow.resets());
        // Nobody reads for the slow one meanwhile, so nothing is acknowledged either.
        fast.type_line(&fast_count(FLOOD_LINES)).await?;
        let output = fast.wait_for("all printed\r\n", OUTPUT_LIMIT).await?;
        every_number_once(&output, FLOOD_LINES)?;
        ensure!(fast.resets() == resets.0, "the fast one has lost nothing");

        slow.wait_for("all printed\r\n", OUTPUT_LIMIT).await?;
        ensure!(slow.resets() > resets.1, "what the slow one missed is not kept, and it is told so");
        ensure!(slow.offset() == fast.offset(), "both are at the same byte");
        slow.type_line("echo still \"\"here").await?;
        slow.wait_for("still here", OUTPUT_LIMIT).await?;
        fast.wait_for("still here", OUTPUT_LIMIT).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn a_shell_that_exits_says_how_and_opening_again_starts_a_new_one() -> Result<()> {
    with_workspace(async |_, ada, workspace| {
        let mut terminal = quiet_shell(ada, workspace).await?;
        let mut other = look(ada, workspace, "main", 80, 24).await?;
        let epoch = terminal.opened().epoch;
        terminal.type_line("remembered=yes; exit 7").await?;
        for viewer in [&mut terminal, &mut other] {
            ensure!(lost(viewer).await? == close_code::EXITED, "every viewer's socket ends");
            ensure!(viewer.exit() == Some(Exit::Code(7)), "and each is told how: {:?}", viewer.exit());
        }
        terminal.reopen().await?;
        ensure!(terminal.opened().epoch != epoch, "it is another shell");
        terminal.type_line("echo it is \"\"${remembered:-forgotten}").await?;
        terminal.wait_for("it is forgotten", OUTPUT_LIMIT).await?;

        terminal.type_line("kill -9 $$").await?;
        ensure!(lost(&mut terminal).await? == close_code::EXITED);
        ensure!(terminal.exit() == Some(Exit::Signal(9)), "{:?}", terminal.exit());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn two_terminals_of_a_workspace_are_two_shells_on_the_same_files() -> Result<()> {
    with_workspace(async |_, ada, workspace| {
        let mut one = look(ada, workspace, "one", 80, 24).await?;
        let mut two = look(ada, workspace, "two", 80, 24).await?;
        one.type_line("mine=1; echo from one > shared; echo one is \"\"done").await?;
        one.wait_for("one is done", OUTPUT_LIMIT).await?;
        two.type_line("cat shared; echo mine is \"\"${mine:-not set}").await?;
        two.wait_for("from one\r\n", OUTPUT_LIMIT).await?;
        two.wait_for("mine is not set", OUTPUT_LIMIT).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn every_byte_there_is_comes_out_as_it_is() -> Result<()> {
    with_workspace(async |world, ada, workspace| {
        let mut terminal = quiet_shell(ada, workspace).await?;
        terminal
            .type_line("head -c 300000 /dev/urandom > noise; stty raw; echo begin\"\"ning; cat noise; echo end\"\"ing")
            .await?;
        terminal.wait_for("beginning\n", OUTPUT_LIMIT).await?;
        let noise = file_of(&home_of(world, workspace).await?.join("noise"), 300_000).await?;
        let mut output = terminal.wait_for("ending\n", OUTPUT_LIMIT).await?;
        output.truncate(output.len() - "ending\n".len());
        ensure!(output.len() == noise.len(), "{} bytes of {}", output.len(), noise.len());
        ensure!(output == noise, "bytes were changed on the way");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_byte_there_is_goes_in_as_it_is() -> Result<()> {
    with_workspace(async |world, ada, workspace| {
        let bytes: Vec<u8> = (0..EACH_BYTE).flat_map(|_| 0..=255).collect();
        let mut terminal = quiet_shell(ada, workspace).await?;
        // `dd` reads what is there; `head` might read more than it gives on.
        let read = format!(
            "stty raw; echo rea\"\"dy; dd of=typed bs=1 count={} 2>/dev/null; stty sane -echo; echo ta\"\"ken",
            bytes.len()
        );
        terminal.type_line(&read).await?;
        terminal.wait_for("ready", OUTPUT_LIMIT).await?;
        // Frames of many sizes, also of one byte.
        let mut rest = bytes.as_slice();
        for size in [1, 2, 3, 255, 256, 4096].into_iter().cycle() {
            let (frame, behind) = rest.split_at(rest.len().min(size));
            terminal.type_bytes(frame).await?;
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        terminal.wait_for("taken", OUTPUT_LIMIT).await?;
        let typed = file_of(&home_of(world, workspace).await?.join("typed"), bytes.len()).await?;
        ensure!(typed == bytes, "bytes were changed on the way");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_character_may_come_in_pieces_and_is_whole_at_the_end() -> Result<()> {
    with_workspace(async |_, ada, workspace| {
        let mut terminal = quiet_shell(ada, workspace).await?;
        // Out: the bytes of two characters, flushed one by one.
        terminal
            .type_line("for b in e4 b8 96 f0 9f a6 80; do printf \"\\x$b\"; sleep 0.1; done; echo \" \"out")
            .await?;
        let output = terminal.wait_for(" out", OUTPUT_LIMIT).await?;
        ensure!(String::from_utf8(output)?.ends_with("世🦀 out"), "the characters are whole");
        // In: the same, a byte a frame.
        for byte in "echo 'é世🦀' | wc -c\r".as_bytes() {
            terminal.type_bytes(&[*byte]).await?;
        }
        // 2 + 3 + 4 bytes and the line's end.
        terminal.wait_for("10\r\n", OUTPUT_LIMIT).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn a_long_paste_arrives_whole() -> Result<()> {
    with_workspace(async |world, ada, workspace| {
        let pasted = "0123456789abcdef".repeat(40_000);
        let mut terminal = quiet_shell(ada, workspace).await?;
        let read =
            format!("stty raw; echo rea\"\"dy; head -c {} > pasted; stty sane -echo; echo ta\"\"ken", pasted.len());
        terminal.type_line(&read).await?;
        terminal.wait_for("ready", OUTPUT_LIMIT).await?;
        // More than two windows: the rest goes when the terminal has taken what came before.
        terminal.type_bytes(pasted.as_bytes()).await?;
        terminal.wait_for("taken", OUTPUT_LIMIT).await?;
        let file = file_of(&home_of(world, workspace).await?.join("pasted"), pasted.len()).await?;
        ensure!(file == pasted.as_bytes(), "the paste was changed on the way");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_viewer_whose_connection_breaks_again_and_again_gets_every_byte_once() -> Result<()> {
    with_workspace(async |_, ada, workspace| {
        let mut terminal = quiet_shell(ada, workspace).await?;
        let resets = terminal.resets();
        terminal.type_line(&fast_count(50_000)).await?;
        let mut output = Vec::new();
        for line in [1_000, 9_000, 20_000, 33_000, 49_000] {
            output.extend(terminal.wait_for(&format!("\nn{line}\r\n"), OUTPUT_LIMIT).await?);
            terminal.lose_connection();
            terminal.reopen().await?;
        }
        output.extend(terminal.wait_for("all printed\r\n", OUTPUT_LIMIT).await?);
        every_number_once(&output, 50_000)?;
        ensure!(terminal.resets() == resets, "it went on where it was");
        Ok(())
    })
    .await
}

/// Tells a story about one running workspace, whose node is deleted at the end.
async fn with_workspace(tell: impl AsyncFnOnce(&World, &Person, WorkspaceId) -> Result<()>) -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        tell(world, &ada, workspace.id).await?;
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

/// Where the agent keeps a workspace's files: a process machine's are ordinary ones.
async fn home_of(world: &World, workspace: WorkspaceId) -> Result<PathBuf> {
    let machines = world.cloud.machines().await?;
    let homes = machines.iter().map(|machine| machine.directory.join("state/workspaces").join(workspace.to_string()));
    let found: Vec<PathBuf> = homes.filter(|home| home.is_dir()).collect();
    ensure!(found.len() == 1, "the workspace is at {found:?}");
    Ok(found[0].clone())
}

/// Reads until the terminal's size has been said to be this.
async fn told_size(terminal: &mut Terminal, size: (u16, u16)) -> Result<()> {
    let deadline = std::time::Instant::now() + LIMIT;
    while terminal.size() != Some(size) {
        ensure!(terminal.read_frame(deadline).await?, "the size was said to be {:?}", terminal.size());
    }
    Ok(())
}
