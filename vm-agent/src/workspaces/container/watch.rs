//! What is looked at while a container runs: that it does, its memory, its disk, and hourly its posture.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ringfence_protocol::container::ContainerSpec;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::posture::{Posture, PostureCheck};
use ringfence_protocol::state::WorkspaceFailure;

use super::Containers;
use super::live::{Live, Pace};
use super::posture::{self, Subject};
use crate::workspaces::task::Task;
use crate::workspaces::{EngineError, Order, Saved, Voice, exit};

const LOOK_EVERY: Duration = Duration::from_secs(2);
const MEASURE_EVERY: Duration = Duration::from_secs(3600);
/// How long the engine may take to say how a container ended.
const ENDED_LOOKS: u32 = 25;
const ENDED_LOOK_EVERY: Duration = Duration::from_millis(200);
const FULL_PERCENT: u64 = 99;

/// What is watched over.
pub(super) struct Watch {
    engine: Weak<Containers>,
    live: Arc<Live>,
    workspace_id: WorkspaceId,
    spec_generation: i64,
    spec: ContainerSpec,
    voice: Voice,
    posture: Posture,
    /// First processes of the other workspaces that were there when it was measured.
    siblings: Vec<i32>,
}

impl Watch {
    pub(super) fn new(
        engine: Weak<Containers>,
        live: Arc<Live>,
        order: &Order,
        spec: &ContainerSpec,
        (posture, siblings): (Posture, Vec<i32>),
    ) -> Self {
        Self {
            engine,
            live,
            workspace_id: order.workspace_id,
            spec_generation: order.spec_generation,
            spec: spec.clone(),
            voice: order.voice.clone(),
            posture,
            siblings,
        }
    }

    /// Watches until the container ends or the task is dropped.
    pub(super) fn start(self) -> Task {
        Task::spawn(self.run())
    }

    async fn run(mut self) {
        let mut measured = Instant::now();
        let mut disk = Pace::default();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let ran_out = self.live.look_for_oom(&self.voice);
            if !self.live.is_alive() {
                let code = match self.engine.upgrade() {
                    Some(engine) => engine.exit_code(&self.live).await,
                    None => return,
                };
                self.ends_unsaved("its container had ended already");
                self.voice.broke(self.spec_generation, ended(ran_out, code));
                return;
            }
            let is_full = self.live.volume.percent_used().is_some_and(|percent| percent >= FULL_PERCENT);
            if is_full && disk.may(Instant::now()) {
                self.voice.notice(format!(
                    "The workspace's disk quota of {} MiB is used up: nothing more can be written. Delete files in /workspace or /sessions.",
                    self.spec.disk_quota_bytes >> 20
                ));
            }
            if measured.elapsed() >= MEASURE_EVERY || self.has_new_siblings() {
                measured = Instant::now();
                if !self.measure().await {
                    return;
                }
            }
        }
    }

    /// Whether a workspace was started beside this one since it was measured: whether it reaches that one is not known.
    fn has_new_siblings(&self) -> bool {
        let Some(engine) = self.engine.upgrade() else { return false };
        has_newcomer(&engine.siblings(self.workspace_id), &self.siblings)
    }

    /// Measures again; `false` when what must hold does not, and the workspace was ended for it.
    async fn measure(&mut self) -> bool {
        let Some(engine) = self.engine.upgrade() else { return false };
        self.siblings = engine.siblings(self.workspace_id);
        let posture = engine.measure(&self.live, &self.spec, &self.siblings).await;
        if is_other(&posture, &self.posture) {
            self.voice.posture(posture.clone());
        }
        let broken = broken(&posture);
        self.posture = posture;
        let Some(error) = broken else { return true };
        // The node stops nothing of it by itself: this does, and then says so.
        if let Err(error) = engine.kill(&self.live).await {
            tracing::error!(workspace.id = %self.workspace_id, %error, "a workspace that must not run was not stopped");
        }
        self.ends_unsaved("it had to be ended at once");
        self.voice.broke(self.spec_generation, error);
        false
    }

    /// Its owner hears that its hook did not run, which may be the last that is heard of its files.
    fn ends_unsaved(&self, why: &str) {
        if self.live.has_save_hook() {
            self.voice.saved(Saved::not_run(why, Duration::ZERO));
        }
    }
}

impl Containers {
    /// Measures a workspace's posture, beside these others.
    pub(super) async fn measure(&self, live: &Live, spec: &ContainerSpec, siblings: &[i32]) -> Posture {
        posture::measure(&Subject { api: &self.api, live, spec, siblings: siblings.to_vec() }).await
    }

    /// First processes of the other workspaces that run.
    pub(super) fn siblings(&self, workspace_id: WorkspaceId) -> Vec<i32> {
        self.running().iter().filter(|(id, _)| **id != workspace_id).map(|(_, other)| other.live.pid).collect()
    }

    /// What a container that has ended by itself ended with, where the engine says so.
    async fn exit_code(&self, live: &Live) -> Option<i64> {
        for _ in 0..ENDED_LOOKS {
            let state = self.inspect(&live.container).await.ok()??.state;
            if !state.running {
                return Some(state.exit_code);
            }
            tokio::time::sleep(ENDED_LOOK_EVERY).await;
        }
        None
    }
}

/// Why a workspace of this posture must not run.
pub(super) fn broken(posture: &Posture) -> Option<EngineError> {
    let broken: Vec<String> = posture.broken().map(|check| format!("{} ({})", check.title, check.measured)).collect();
    (!broken.is_empty()).then(|| {
        EngineError::refused(format!(
            "The workspace was stopped, because what must hold of it was not measured to hold: {}",
            broken.join(" ")
        ))
    })
}

/// Whether somebody is there now who was not when it was measured. One who has gone changes nothing.
fn has_newcomer(now: &[i32], measured: &[i32]) -> bool {
    now.iter().any(|sibling| !measured.contains(sibling))
}

/// Whether anything but the time differs.
fn is_other(new: &Posture, old: &Posture) -> bool {
    let outcomes = |posture: &Posture| -> Vec<(String, String)> {
        let said = |check: &PostureCheck| (check.id.clone(), format!("{} {}", check.outcome, check.measured));
        posture.checks.iter().map(said).collect()
    };
    outcomes(new) != outcomes(old)
}

fn ended(ran_out_of_memory: bool, code: Option<i64>) -> EngineError {
    if ran_out_of_memory {
        return EngineError::new(
            WorkspaceFailure::OutOfMemory,
            "The workspace ended because its memory limit was reached. Start it again, or make one with a higher limit.",
        );
    }
    let how = code.map(|code| format!(": {}", exit::in_words(code))).unwrap_or_default();
    EngineError::refused(format!(
        "The workspace's container has ended, though nobody stopped it{how}. Start it again; its files are kept."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_is_measured_against_and_who_goes_is_not() {
        assert!(has_newcomer(&[1], &[]) && has_newcomer(&[1, 2], &[1]) && has_newcomer(&[2], &[1]));
        assert!(!has_newcomer(&[], &[]) && !has_newcomer(&[1], &[1]) && !has_newcomer(&[1], &[2, 1]));
    }

    #[test]
    fn a_container_that_has_ended_by_itself_says_how() {
        let said = |ran_out, code| ended(ran_out, code).detail;
        assert!(
            said(false, Some(139)).contains("nobody stopped it: with exit code 139 (it crashed"),
            "{}",
            said(false, Some(139))
        );
        assert!(said(false, None).contains("nobody stopped it. Start"), "{}", said(false, None));
        assert_eq!(ended(true, Some(137)).failure, WorkspaceFailure::OutOfMemory);
    }
}
