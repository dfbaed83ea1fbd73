//! How much memory the agent takes with ten terminals open.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ringfence_protocol::ids::WorkspaceId;

use super::table::{Row, Unit};
use super::{KIB, LIMIT, say};
use crate::client::{Client, Screen, Terminal};

const TERMINALS: usize = 10;

pub(super) async fn measure(client: &Client, workspace: WorkspaceId, binary: &Path) -> Result<Row> {
    say(format!("opening {TERMINALS} terminals"));
    let mut terminals = Vec::new();
    for number in 0..TERMINALS {
        let token = client.workspace_token(workspace, None).await?;
        let screen = Screen { terminal: format!("memory-{number}"), ..Screen::default() };
        let mut terminal = Terminal::open(client.origin(), workspace, token, screen).await?;
        terminal.type_line("seq 1 100000; echo \"\"done").await?;
        terminal.wait_for("done", LIMIT).await?;
        terminals.push(terminal);
    }
    let resident_kib = resident_kib(binary)?;
    Ok(Row::at_most("agent, resident with 10 terminals", resident_kib / KIB, 20.0, Unit::Mib))
}

/// Resident memory of the largest process that runs the binary.
fn resident_kib(binary: &Path) -> Result<f64> {
    let binary = fs::canonicalize(binary)?;
    let mut largest: Option<f64> = None;
    for entry in fs::read_dir("/proc")?.flatten() {
        if fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == binary) {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
            if let Some(kib) = resident.and_then(|text| text.trim().parse().ok()) {
                largest = Some(largest.map_or(kib, |old| old.max(kib)));
            }
        }
    }
    largest.context("no agent is running")
}
