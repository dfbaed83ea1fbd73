//! Makes workspaces what was asked, one operation at a time for each.

use std::sync::Arc;

use futures_util::future::join_all;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{AgentMessage, CloseReason, WorkspacePhase, WorkspaceSpec};

use super::{Node, RunningTerminal};
use crate::terminal::Command;
use crate::workspaces::table::{Answer, Wanted};
use crate::workspaces::{Engine, EngineError};

/// An operation has ended.
pub struct Done {
    workspace_id: WorkspaceId,
    spec_generation: i64,
    outcome: Result<WorkspacePhase, EngineError>,
}

impl Node {
    /// The workspace's specification, if it runs and is to go on running.
    pub(super) fn running(&self, workspace_id: WorkspaceId) -> Option<WorkspaceSpec> {
        let entry = self.table.get(workspace_id)?;
        match &entry.wanted {
            Wanted::Spec(spec) if spec.running && entry.phase == WorkspacePhase::Running => Some(spec.clone()),
            Wanted::Spec(_) | Wanted::Removed => None,
        }
    }

    /// After a start of the agent: ends what an earlier one left running, and makes everything so again.
    pub async fn resume(&mut self) {
        for (workspace_id, stopped) in self.stop_all().await {
            if let Err(error) = stopped {
                tracing::warn!(workspace.id = %workspace_id, %error, "processes of an earlier start remain");
            }
            self.operate(workspace_id);
        }
    }

    /// Ends every process of every workspace; nothing else changes.
    pub(super) async fn stop_all(&self) -> Vec<(WorkspaceId, Result<(), EngineError>)> {
        let stops = self.table.ids_to_work_on().into_iter().map(|id| async move { (id, self.engine.stop(id).await) });
        join_all(stops).await
    }

    /// A command came, and was taken or not.
    pub(super) async fn commanded(&mut self, workspace_id: WorkspaceId, spec_generation: i64, answer: Answer) {
        match answer {
            Answer::Refused => {
                tracing::warn!(workspace.id = %workspace_id, spec_generation, "a command older than what is known is refused");
                self.report(workspace_id).await;
            }
            Answer::Accepted => {
                tracing::info!(workspace.id = %workspace_id, spec_generation, "commanded");
                // On disk before it takes effect: a restart goes on with it.
                self.save();
                self.operate(workspace_id);
            }
        }
    }

    /// Starts the operation that is wanted now, unless one runs already: its end starts the next.
    fn operate(&mut self, workspace_id: WorkspaceId) {
        let Some(entry) = self.table.get(workspace_id) else {
            return;
        };
        if self.busy.contains_key(&workspace_id) {
            return;
        }
        let spec_generation = entry.spec_generation;
        let wanted = entry.wanted.clone();
        let is_to_run = matches!(&wanted, Wanted::Spec(spec) if spec.running);
        let mut terminals = Vec::new();
        if !is_to_run {
            terminals = self.take_terminals(workspace_id);
            // From now on nobody gets in, not even if something newer wants it to run before this is done.
            self.table.set_phase(workspace_id, WorkspacePhase::Stopped, None);
        }
        self.busy.insert(workspace_id, spec_generation);
        let engine = Arc::clone(&self.engine);
        let done = self.done_sender.clone();
        tokio::spawn(async move {
            let outcome = perform(&engine, workspace_id, wanted, terminals).await;
            let _ = done.send(Done { workspace_id, spec_generation, outcome });
        });
    }

    fn take_terminals(&mut self, workspace_id: WorkspaceId) -> Vec<RunningTerminal> {
        let theirs = self.terminals.keys().filter(|(id, _)| *id == workspace_id);
        let theirs: Vec<_> = theirs.cloned().collect();
        theirs.iter().filter_map(|key| self.terminals.remove(key)).collect()
    }

    pub(super) async fn operation_done(&mut self, done: Done) {
        let workspace_id = done.workspace_id;
        self.busy.remove(&workspace_id);
        let wanted = self.table.get(workspace_id).map(|entry| entry.spec_generation);
        if wanted != Some(done.spec_generation) {
            // Something newer was asked meanwhile.
            self.operate(workspace_id);
            return;
        }
        let (phase, detail) = match done.outcome {
            Ok(phase) => (phase, None),
            Err(error) => (WorkspacePhase::Failed, Some(error.to_string())),
        };
        tracing::info!(workspace.id = %workspace_id, ?phase, detail, "workspace");
        self.table.set_phase(workspace_id, phase, detail);
        self.save();
        self.report(workspace_id).await;
    }

    async fn report(&self, workspace_id: WorkspaceId) {
        if self.busy.contains_key(&workspace_id) {
            return; // the operation's end reports
        }
        if let Some(report) = self.table.report(workspace_id) {
            self.say(AgentMessage::Workspace(report)).await;
        }
    }

    fn save(&self) {
        if let Err(error) = self.table.save() {
            tracing::error!(%error, "the table of workspaces is not on disk");
        }
    }
}

async fn perform(
    engine: &Engine,
    workspace_id: WorkspaceId,
    wanted: Wanted,
    terminals: Vec<RunningTerminal>,
) -> Result<WorkspacePhase, EngineError> {
    for terminal in &terminals {
        terminal.handle.tell(Command::End(CloseReason::WorkspaceEnded)).await;
    }
    for terminal in terminals {
        terminal.handle.end(CloseReason::WorkspaceEnded).await;
    }
    match wanted {
        Wanted::Spec(spec) if spec.running => {
            engine.start(workspace_id, &spec).await?;
            Ok(WorkspacePhase::Running)
        }
        Wanted::Spec(_) => {
            engine.stop(workspace_id).await?;
            Ok(WorkspacePhase::Stopped)
        }
        Wanted::Removed => {
            engine.remove(workspace_id).await?;
            Ok(WorkspacePhase::Absent)
        }
    }
}
