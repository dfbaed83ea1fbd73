//! What stories do with terminals beside what the client does: come back until it works, and check what came.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::state::Permission;
use xtask::client::{Screen, Terminal, until_some};

use crate::world::{LIMIT, Person};

/// Longest wait for output that is on its way.
pub const OUTPUT_LIMIT: Duration = Duration::from_secs(60);

/// Opens a terminal on a screen of that size.
pub async fn look(person: &Person, workspace: WorkspaceId, terminal: &str, cols: u16, rows: u16) -> Result<Terminal> {
    let token = person.client.workspace_token(workspace, None).await?;
    let screen = Screen { terminal: terminal.into(), cols, rows };
    Terminal::open(person.client.origin(), workspace, token, screen).await
}

/// Opens the main terminal to look only.
pub async fn look_only(person: &Person, workspace: WorkspaceId) -> Result<Terminal> {
    let token = person.client.workspace_token(workspace, Some(vec![Permission::TerminalRead])).await?;
    Terminal::open(person.client.origin(), workspace, token, Screen::default()).await
}

/// Opens the main terminal with a shell that neither echoes nor prompts: what arrives is what commands print.
pub async fn quiet_shell(person: &Person, workspace: WorkspaceId) -> Result<Terminal> {
    let mut terminal = person.client.open_terminal(workspace).await?;
    terminal
        .type_line("PS1= PS2=; bind 'set enable-bracketed-paste off' 2>/dev/null; stty -echo; echo quiet \"\"now")
        .await?;
    terminal.wait_for("quiet now\r\n", OUTPUT_LIMIT).await?;
    Ok(terminal)
}

/// Comes back to a terminal again and again, as a browser does, until the control plane and the agent are there.
pub async fn come_back(terminal: &mut Terminal) -> Result<()> {
    let started = Instant::now();
    while let Err(error) = terminal.reopen().await {
        if started.elapsed() > LIMIT {
            return Err(error.context("the terminal did not come back"));
        }
        // As short as a browser's first pause: the condition is the success of the attempt.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Reads, coming back whenever the socket ends, until the text has appeared; returns all output from where it was.
pub async fn follow_until(terminal: &mut Terminal, text: &str) -> Result<Vec<u8>> {
    let started = Instant::now();
    loop {
        match terminal.wait_for(text, OUTPUT_LIMIT).await {
            Ok(output) => return Ok(output),
            Err(error) if error.is::<xtask::client::Closed>() && started.elapsed() < LIMIT => {
                come_back(terminal).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The socket notices that it has ended.
pub async fn lost(terminal: &mut Terminal) -> Result<u16> {
    Ok(terminal.wait_for_close(LIMIT).await.context("waiting for the socket to end")?.0)
}

/// The lines `n1`, `n2`, … up to the last, each exactly once and in order; other lines do not count.
pub fn every_number_once(output: &[u8], last: u32) -> Result<()> {
    let text = std::str::from_utf8(output).context("output is not UTF-8")?;
    let mut expected = 1..=last;
    for number in text.lines().filter_map(|line| line.trim().strip_prefix('n')?.parse::<u32>().ok()) {
        match expected.next() {
            Some(due) => ensure!(number == due, "{number} where {due} was due"),
            None => bail!("{number} after the last"),
        }
    }
    match expected.next() {
        None => Ok(()),
        Some(missing) => bail!("{missing} and what follows did not arrive"),
    }
}

/// A command that prints `n1` to the last, one every 20 ms, and then `all printed`.
pub fn slow_count(last: u32) -> String {
    format!("for i in $(seq 1 {last}); do echo n$i; sleep 0.02; done; echo all \"\"printed")
}

/// A command that prints `n1` to the last as fast as it can, and then `all printed`.
pub fn fast_count(last: u32) -> String {
    format!("seq -f n%.0f 1 {last}; echo all \"\"printed")
}

/// Waits for a file to have that many bytes, and reads it.
pub async fn file_of(path: &std::path::Path, bytes: usize) -> Result<Vec<u8>> {
    until_some(&format!("{} to have {bytes} bytes", path.display()), LIMIT, async || {
        Ok(std::fs::read(path).ok().filter(|content| content.len() >= bytes))
    })
    .await
}
