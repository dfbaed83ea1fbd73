//! Looks for signs of use, and lets workspaces save before an end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{AgentMessage, WorkspacePhase, WorkspaceReport};

use super::Node;
use crate::activity::ProcessTime;
use crate::link::Outgoing;
use crate::workspaces::table::Wanted;
use crate::workspaces::{Said, Saved, save};

/// For how long what came of a save hook is told again on each new link: it may take that long to be seen that the last one is dead.
const TOLD_AGAIN: Duration = Duration::from_secs(300);

/// What the processes of workspaces have used; `None` of one that is not there.
pub struct Looked(Vec<(WorkspaceId, Option<Vec<ProcessTime>>)>);

impl Node {
    /// What a workspace is now, with the newest sign of its use. Of one that an operation works on nothing is said to be so before
    /// it is: it is told as an answer to an older command, which changes nothing and lets the newest one be sent again.
    pub(super) fn report_of(&mut self, workspace_id: WorkspaceId) -> Option<WorkspaceReport> {
        let mut report = self.table.report(workspace_id)?;
        if report.phase == WorkspacePhase::Running {
            let clock = self.grants.borrow().clock;
            report.activity = self.activity.newest(workspace_id, &clock, Instant::now());
        }
        if let Some(operation) = self.busy.get(&workspace_id)
            && self.running(workspace_id).is_none()
        {
            report.spec_generation = operation.spec_generation.saturating_sub(1);
            if report.phase == WorkspacePhase::Absent {
                // Something of it may be there by now, and its place must not be given away.
                report.phase = WorkspacePhase::Stopped;
            }
        }
        Some(report)
    }

    /// A workspace has become this. To be called before the table says so.
    pub(super) fn follow_use(&mut self, workspace_id: WorkspaceId, phase: WorkspacePhase) {
        match phase {
            WorkspacePhase::Running => {
                let Some(entry) = self.table.get(workspace_id) else { return };
                let idle_timeout_secs = match &entry.wanted {
                    Wanted::Spec(spec) => spec.idle_timeout_secs,
                    Wanted::Removed => None,
                };
                // One that ran before is not started: the agent was.
                let is_new = entry.phase != WorkspacePhase::Running;
                let now = Instant::now();
                self.activity.runs(workspace_id, idle_timeout_secs, is_new, now);
                let next = self.activity.next_look(now);
                self.next_look = self.next_look.into_iter().chain(next).min();
            }
            WorkspacePhase::Stopped | WorkspacePhase::Absent | WorkspacePhase::Failed => {
                self.activity.ended(workspace_id);
            }
        }
    }

    /// Reads what processes have used, beside the link's task: terminals do not wait for it.
    pub(super) fn look(&mut self) {
        self.next_look = None;
        let (engine, ids, looked) = (Arc::clone(&self.engine), self.activity.ids(), self.looked_sender.clone());
        tokio::task::spawn_blocking(move || {
            let times = ids.into_iter().map(|id| (id, engine.times(id))).collect();
            let _ = looked.send(Looked(times));
        });
    }

    /// Tells what is worth it.
    pub(super) async fn looked(&mut self, Looked(times): Looked) {
        let (clock, now) = (self.grants.borrow().clock, Instant::now());
        for (workspace_id, processes) in times {
            self.activity.look(workspace_id, processes.as_deref(), now);
            // Without a link it is kept: the next hello tells it.
            if self.outbox.is_some()
                && let Some(activity) = self.activity.due(workspace_id, &clock, now)
            {
                self.say(AgentMessage::Activity { workspace_id, activity }).await;
            }
        }
        self.next_look = self.activity.next_look(now);
    }

    pub(super) fn save_within(&self, workspace_id: WorkspaceId) -> Duration {
        self.save_within.get(&workspace_id).copied().unwrap_or(save::WITHIN)
    }

    pub(super) async fn tell_saved(&mut self, workspace_id: WorkspaceId, saved: Saved) {
        let Saved { outcome, took, detail } = saved;
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(workspace.id = %workspace_id, %outcome, duration_ms, "save hook");
        let message = AgentMessage::Saved { workspace_id, outcome, duration_ms, detail };
        let told = self.outbox.is_some().then(Instant::now);
        self.saves.insert(workspace_id, (message.clone(), told));
        self.say(message).await;
    }

    /// Nobody confirms it, and a link may have ended before it got through. Told twice it is recorded once.
    pub(super) async fn tell_saves_again(&mut self) {
        self.saves.retain(|_, (_, told)| told.is_none_or(|told| told.elapsed() < TOLD_AGAIN));
        for (message, told) in self.saves.values_mut() {
            told.get_or_insert_with(Instant::now);
            if let Some(outbox) = &self.outbox {
                outbox.send(Outgoing::Message(message.clone())).await;
            }
        }
    }

    /// The machine is about to be destroyed. Asked again, it answers again, and saves once.
    pub(super) async fn save_all(&mut self) {
        match self.saving {
            Some(true) => self.say(AgentMessage::SavedAll).await,
            Some(false) => {}
            None => {
                self.saving = Some(false);
                let (saves, said) = (self.saves(), self.said_sender.clone());
                tokio::spawn(async move {
                    saves.await;
                    let _ = said.send(Said::AllSaved);
                });
            }
        }
    }

    /// Every workspace that runs saves, one that is being stopped too; what comes of it is said.
    pub(super) async fn save_everything(&mut self) {
        self.saves().await;
        while let Ok(said) = self.said.try_recv() {
            self.engine_said(said).await;
        }
    }

    /// The hooks of all that runs, and those that run already: before a stop or a removal.
    fn saves(&self) -> impl Future<Output = ()> + Send + use<> {
        let under_way: Vec<_> = self.busy.values().filter_map(|operation| operation.hook.clone()).collect();
        let running = self.table.ids().into_iter().filter(|id| self.running(*id).is_some());
        let saves = running.map(|id| {
            let (engine, voice, within) = (Arc::clone(&self.engine), self.voice(id), self.save_within(id));
            async move {
                if let Some(saved) = engine.save(id, within).await {
                    voice.saved(saved);
                }
            }
        });
        let saves = join_all(saves.collect::<Vec<_>>());
        async move {
            saves.await;
            for mut hook in under_way {
                // Nothing is ever sent: this is its end.
                while hook.changed().await.is_ok() {}
            }
        }
    }

    /// Stops every workspace that runs, containers too. What was asked of them stays asked.
    pub(super) async fn stop_all(&self) {
        let stops = self.table.ids().into_iter().map(|id| async move { (id, self.engine.stop(id).await) });
        for (id, stopped) in join_all(stops).await {
            if let Err(error) = stopped {
                tracing::warn!(workspace.id = %id, %error, "not stopped");
            }
        }
    }
}

/// Waits until then; for ever, without a time.
pub(super) async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}
