//! What is looked at while a container runs: that it does, its memory, its disk, and hourly its posture.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ringfence_protocol::container::ContainerSpec;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::posture::{Posture, PostureCheck};
use ringfence_protocol::state::WorkspaceFailure;

use super::Containers;
use super::live::Live;
use super::posture::{self, Subject};
use crate::workspaces::task::Task;
use crate::workspaces::{EngineError, Order, Voice};

const LOOK_EVERY: Duration = Duration::from_secs(2);
const MEASURE_EVERY: Duration = Duration::from_secs(3600);
/// Said of a full disk at most so often.
const TELL_OF_DISK_EVERY: Duration = Duration::from_secs(300);
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
}

impl Watch {
    pub(super) fn new(
        engine: Weak<Containers>,
        live: Arc<Live>,
        order: &Order,
        spec: &ContainerSpec,
        posture: Posture,
    ) -> Self {
        Self {
            engine,
            live,
            workspace_id: order.workspace_id,
            spec_generation: order.spec_generation,
            spec: spec.clone(),
            voice: order.voice.clone(),
            posture,
        }
    }

    /// Watches until the container ends or the task is dropped.
    pub(super) fn start(self) -> Task {
        Task::spawn(self.run())
    }

    async fn run(mut self) {
        let mut measured = Instant::now();
        let mut told_of_disk: Option<Instant> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let ran_out = self.live.look_for_oom(&self.voice);
            if !self.live.is_alive() {
                self.voice.broke(self.spec_generation, ended(ran_out));
                return;
            }
            let is_full = self.live.volume.percent_used().is_some_and(|percent| percent >= FULL_PERCENT);
            if is_full && told_of_disk.is_none_or(|told| told.elapsed() >= TELL_OF_DISK_EVERY) {
                told_of_disk = Some(Instant::now());
                self.voice.notice(format!(
                    "The workspace's disk quota of {} MiB is used up: nothing more can be written. Delete files in /workspace or /sessions.",
                    self.spec.disk_quota_bytes >> 20
                ));
            }
            if measured.elapsed() >= MEASURE_EVERY {
                measured = Instant::now();
                if !self.measure().await {
                    return;
                }
            }
        }
    }

    /// Measures again; `false` when what must hold does not, and the workspace was ended for it.
    async fn measure(&mut self) -> bool {
        let Some(engine) = self.engine.upgrade() else { return false };
        let posture = engine.measure(self.workspace_id, &self.live, &self.spec).await;
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
        self.voice.broke(self.spec_generation, error);
        false
    }
}

impl Containers {
    /// Measures a workspace's posture.
    pub(super) async fn measure(&self, workspace_id: WorkspaceId, live: &Live, spec: &ContainerSpec) -> Posture {
        let siblings =
            self.running().iter().filter(|(id, _)| **id != workspace_id).map(|(_, other)| other.live.pid).collect();
        posture::measure(&Subject { api: &self.api, live, spec, siblings }).await
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

/// Whether anything but the time differs.
fn is_other(new: &Posture, old: &Posture) -> bool {
    let outcomes = |posture: &Posture| -> Vec<(String, String)> {
        let said = |check: &PostureCheck| (check.id.clone(), format!("{} {}", check.outcome, check.measured));
        posture.checks.iter().map(said).collect()
    };
    outcomes(new) != outcomes(old)
}

fn ended(ran_out_of_memory: bool) -> EngineError {
    if ran_out_of_memory {
        return EngineError::new(
            WorkspaceFailure::OutOfMemory,
            "The workspace ended because its memory limit was reached. Start it again, or make one with a higher limit.",
        );
    }
    EngineError::refused(
        "The workspace's container has ended, though nobody stopped it. Start it again; its files are kept.",
    )
}
