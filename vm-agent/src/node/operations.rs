//! Makes workspaces what was asked, one operation at a time for each.

use std::sync::Arc;

use futures_util::future::join_all;
use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{AgentMessage, BootStep, CloseReason, WorkspacePhase, WorkspaceSpec};
use tokio::sync::watch;

use super::{Node, RunningTerminal};
use crate::terminal::Command;
use crate::workspaces::span::CallOff;
use crate::workspaces::table::{Answer, Wanted};
use crate::workspaces::{Engine, EngineError, Order, Said, Span, Voice};

/// An operation has ended.
pub struct Done {
    workspace_id: WorkspaceId,
    spec_generation: i64,
    outcome: Result<WorkspacePhase, EngineError>,
}

/// An operation that works on a workspace.
pub(super) struct UnderWay {
    /// Of what was asked when it began.
    pub(super) spec_generation: i64,
    /// How to call it off, where that can be done: a start.
    call_off: Option<CallOff>,
    /// Its save hook, where it has one: closed once that has ended and what came of it is said.
    pub(super) hook: Option<watch::Receiver<()>>,
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

    /// After a start of the agent: ends what an earlier one left and nobody can go on with, and makes everything so again.
    pub async fn resume(&mut self) {
        let engine = &self.engine;
        let ends =
            self.table.ids_to_work_on().into_iter().map(|id| async move { (id, engine.end_leftovers(id).await) });
        for (workspace_id, ended) in join_all(ends).await {
            if let Err(error) = ended {
                tracing::warn!(workspace.id = %workspace_id, %error, "processes of an earlier start remain");
            }
            self.operate(workspace_id);
        }
    }

    /// The agent ends: so does what cannot go on without it. What was asked stays asked.
    pub(super) async fn leave_all(&self) -> Vec<(WorkspaceId, Result<(), EngineError>)> {
        let ends = self.table.ids_to_work_on().into_iter().map(|id| async move { (id, self.engine.leave(id).await) });
        join_all(ends).await
    }

    /// Speaks of one workspace to this node.
    pub(super) fn voice(&self, workspace_id: WorkspaceId) -> Voice {
        Voice::new(workspace_id, self.said_sender.clone())
    }

    /// Keeps what came with a command that was taken. A workspace that is not to run has none.
    pub(super) fn keep_secrets(&mut self, workspace_id: WorkspaceId, answer: Answer, secrets: WorkspaceSecrets) {
        let entry = self.table.get(workspace_id).map(|entry| &entry.wanted);
        let is_to_run = matches!(entry, Some(Wanted::Spec(spec)) if spec.running);
        match answer {
            Answer::Accepted if is_to_run => {
                self.secrets.insert(workspace_id, Arc::new(secrets));
            }
            Answer::Accepted => {
                self.secrets.remove(&workspace_id);
            }
            Answer::Refused => {}
        }
    }

    /// Passes on what the engine says, in the control plane's time.
    pub(super) async fn engine_said(&mut self, said: Said) {
        match said {
            Said::Step { workspace_id, step, started, took, error } => {
                let clock = self.grants.borrow().clock;
                let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(workspace.id = %workspace_id, step, duration_ms, error, "workspace step");
                let step = BootStep { step, started_at: clock.at(started), duration_ms, error };
                self.say(AgentMessage::WorkspaceStep { workspace_id, step }).await;
            }
            Said::Progress(progress) => self.say(AgentMessage::Progress(progress)).await,
            Said::Saved { workspace_id, saved } => self.tell_saved(workspace_id, saved).await,
            Said::AllSaved => {
                self.saving = Some(true);
                self.say(AgentMessage::SavedAll).await;
            }
            Said::Notice { workspace_id, detail } => {
                tracing::info!(workspace.id = %workspace_id, detail, "notice");
                self.say(AgentMessage::Notice { workspace_id: Some(workspace_id), detail }).await;
            }
            Said::Posture { workspace_id, posture } => {
                self.say(AgentMessage::WorkspacePosture { workspace_id, posture }).await;
            }
            Said::Broke { workspace_id, spec_generation, error } => {
                self.broke(workspace_id, spec_generation, error).await;
            }
        }
    }

    /// The workspace has ended by itself, or was ended because it must not run.
    async fn broke(&mut self, workspace_id: WorkspaceId, spec_generation: i64, error: EngineError) {
        let entry = self.table.get(workspace_id);
        let is_current = entry
            .is_some_and(|entry| entry.spec_generation == spec_generation && entry.phase == WorkspacePhase::Running);
        if !is_current || self.busy.contains_key(&workspace_id) {
            return; // something newer was asked meanwhile, and decides
        }
        for terminal in self.take_terminals(workspace_id) {
            terminal.handle.tell(Command::End(CloseReason::WorkspaceEnded)).await;
        }
        tracing::warn!(workspace.id = %workspace_id, %error, "workspace broke");
        self.close_socket(workspace_id);
        self.activity.ended(workspace_id);
        self.table.set_failed(workspace_id, &error);
        self.save();
        self.report(workspace_id).await;
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

    /// Starts the operation that is wanted now, unless one runs already: its end starts the next. A start that is not wanted any
    /// more is called off.
    pub(super) fn operate(&mut self, workspace_id: WorkspaceId) {
        let Some(entry) = self.table.get(workspace_id) else {
            return;
        };
        let is_to_run = self.lost.is_none() && matches!(&entry.wanted, Wanted::Spec(spec) if spec.running);
        if let Some(under_way) = self.busy.get(&workspace_id) {
            if let (false, Some(start)) = (is_to_run, &under_way.call_off) {
                tracing::info!(workspace.id = %workspace_id, "its start is called off");
                start.call_off();
            }
            return;
        }
        let spec_generation = entry.spec_generation;
        let wanted = entry.wanted.clone();
        let has_secret_files = entry.has_secrets;
        let runs = entry.phase == WorkspacePhase::Running;
        let mut save = None;
        let mut terminals = Vec::new();
        if !is_to_run {
            terminals = self.take_terminals(workspace_id);
            // From now on nobody gets in, not even if something newer wants it to run before this is done.
            self.table.set_phase(workspace_id, WorkspacePhase::Stopped);
            self.secrets.remove(&workspace_id);
            self.activity.ended(workspace_id);
            // Not on a machine that is lost: its hook might send what it saves past a firewall that is not there.
            save = (runs && self.lost.is_none()).then(|| self.save_within(workspace_id));
            self.close_socket(workspace_id);
        }
        let secrets = self.secrets.get(&workspace_id).cloned();
        let voice = self.voice(workspace_id);
        let (call_off, span) = Span::begin();
        let (work, call_off) = match wanted {
            Wanted::Spec(spec) if is_to_run => {
                let order = Order { workspace_id, spec_generation, spec, secrets, has_secret_files, voice, span };
                (Work::Start(Box::new(order)), Some(call_off))
            }
            Wanted::Spec(_) => (Work::Stop, None),
            Wanted::Removed => (Work::Remove, None),
        };
        let (hook_runs, hook) = watch::channel(());
        self.busy.insert(workspace_id, UnderWay { spec_generation, call_off, hook: save.map(|_| hook) });
        let engine = Arc::clone(&self.engine);
        let (done, saver) = (self.done_sender.clone(), self.voice(workspace_id));
        tokio::spawn(async move {
            // While all that runs is still there.
            if let Some(within) = save
                && let Some(saved) = engine.save(workspace_id, within).await
            {
                saver.saved(saved);
            }
            drop(hook_runs);
            let outcome = perform(&engine, workspace_id, work, terminals).await;
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
        if self.busy.get(&workspace_id).is_some_and(|operation| operation.hook.is_some()) {
            // What its hook has saved comes before what the workspace is then.
            while let Ok(said) = self.said.try_recv() {
                self.engine_said(said).await;
            }
        }
        self.busy.remove(&workspace_id);
        let wanted = self.table.get(workspace_id).map(|entry| entry.spec_generation);
        if wanted != Some(done.spec_generation) {
            // Something newer was asked meanwhile.
            self.operate(workspace_id);
            return;
        }
        let outcome = match (&self.lost, done.outcome) {
            (Some(_), Ok(WorkspacePhase::Running)) => {
                // It was just made when the machine was lost.
                self.operate(workspace_id);
                return;
            }
            (Some(why), Ok(WorkspacePhase::Stopped) | Err(_)) if self.wants_to_run(workspace_id) => {
                Err(EngineError::refused(why))
            }
            (Some(_) | None, outcome) => outcome,
        };
        match outcome {
            Ok(phase) => {
                tracing::info!(workspace.id = %workspace_id, ?phase, "workspace");
                self.follow_use(workspace_id, phase);
                self.table.set_phase(workspace_id, phase);
                if phase == WorkspacePhase::Running {
                    self.open_socket(workspace_id);
                }
            }
            Err(error) => {
                tracing::warn!(workspace.id = %workspace_id, failure = %error.failure, %error, "workspace failed");
                self.activity.ended(workspace_id);
                self.close_socket(workspace_id);
                self.table.set_failed(workspace_id, &error);
            }
        }
        self.save();
        self.report(workspace_id).await;
    }

    fn wants_to_run(&self, workspace_id: WorkspaceId) -> bool {
        let entry = self.table.get(workspace_id);
        entry.is_some_and(|entry| matches!(&entry.wanted, Wanted::Spec(spec) if spec.running))
    }

    async fn report(&mut self, workspace_id: WorkspaceId) {
        if self.busy.contains_key(&workspace_id) {
            return; // the operation's end reports
        }
        if let Some(report) = self.report_of(workspace_id) {
            self.say(AgentMessage::Workspace(report)).await;
        }
    }

    fn save(&self) {
        if let Err(error) = self.table.save() {
            tracing::error!(%error, "the table of workspaces is not on disk");
        }
    }
}

/// What is to be done.
enum Work {
    Start(Box<Order>),
    Stop,
    Remove,
}

async fn perform(
    engine: &Engine,
    workspace_id: WorkspaceId,
    work: Work,
    terminals: Vec<RunningTerminal>,
) -> Result<WorkspacePhase, EngineError> {
    for terminal in &terminals {
        terminal.handle.tell(Command::End(CloseReason::WorkspaceEnded)).await;
    }
    for terminal in terminals {
        terminal.handle.ended().await;
    }
    match work {
        Work::Start(order) => {
            engine.start(*order).await?;
            Ok(WorkspacePhase::Running)
        }
        Work::Stop => {
            engine.stop(workspace_id).await?;
            Ok(WorkspacePhase::Stopped)
        }
        Work::Remove => {
            engine.remove(workspace_id).await?;
            Ok(WorkspacePhase::Absent)
        }
    }
}
