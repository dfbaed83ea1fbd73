//! From asking for a workspace on a warm node to its first prompt.

use std::time::Instant;

use anyhow::Result;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::state::WorkspaceState;

use super::statistics::Samples;
use super::table::{Row, Unit};
use super::{LIMIT, say};
use crate::client::{Client, until};

const CLAIMS: usize = 15;

pub(super) async fn measure(client: &Client) -> Result<Vec<Row>> {
    say(format!("claiming a warm node {CLAIMS} times"));
    let mut samples = Vec::new();
    for _ in 0..CLAIMS {
        let started = Instant::now();
        let workspace = client.create_workspace(&CreateWorkspaceParams::default()).await?.id;
        client.workspace_in(workspace, WorkspaceState::Running).await?;
        let mut terminal = client.open_terminal(workspace).await?;
        while terminal.offset() == 0 && terminal.read_frame(started + LIMIT).await? {}
        samples.push(started.elapsed());
        client.delete_workspace(workspace).await?;
        // Its place must be free again, or the next one would not be a warm claim.
        let gone = async || {
            let listed = client.workspaces().await?;
            Ok(!listed.iter().any(|view| view.id == workspace && view.state != WorkspaceState::Gone))
        };
        until("the workspace to be gone", LIMIT, gone).await?;
    }
    let samples = Samples::new(samples);
    Ok(vec![Row::at_most("warm claim: create → prompt, p50", samples.percentile_ms(50), 300.0, Unit::Milliseconds)])
}
