//! What happens to servers after a request was answered, and what is taken up again after a restart.

use super::{Cloud, Ledger};
use crate::clock::now_ms;
use crate::machine::supervisor::{self, MachineHandle};
use crate::state::{ActionStatus, ServerId, ServerStatus};
use anyhow::Result;
use std::time::Duration;

impl Cloud {
    /// Takes up what a crash or an orderly end interrupted.
    pub(super) fn resume(&self) -> Result<()> {
        let mut ledger = self.ledger();
        let now = now_ms();
        let known: Vec<(ServerId, ServerStatus)> =
            ledger.state.servers.values().map(|server| (server.id, server.status)).collect();
        for (id, status) in known {
            match status {
                ServerStatus::Initializing if !ledger.state.is_starting(id) => {
                    ledger.set_status(id, ServerStatus::Off);
                    ledger.state.finish_actions(id, ActionStatus::Success, now);
                }
                ServerStatus::Running | ServerStatus::Starting | ServerStatus::Initializing => {
                    ledger.set_status(id, ServerStatus::Running);
                    ledger.state.finish_actions(id, ActionStatus::Success, now);
                    self.switch_on(&mut ledger, id);
                }
                ServerStatus::Stopping | ServerStatus::Off => {
                    ledger.set_status(id, ServerStatus::Off);
                    ledger.state.finish_actions(id, ActionStatus::Success, now);
                }
                ServerStatus::Deleting => {
                    ledger.state.finish_actions(id, ActionStatus::Success, now);
                    ledger.state.servers.remove(&id);
                    self.inner.driver.remove(id);
                }
            }
        }
        self.inner.file.save(&ledger.state)
    }

    /// Lets a new or starting server arrive where it is going.
    pub(super) fn finish_later(&self, id: ServerId, on: bool) {
        let cloud = self.clone();
        tokio::spawn(async move {
            let half = cloud.inner.settings.boot_delay / 2;
            tokio::time::sleep(half).await;
            cloud.ledger().state.progress_actions(id);
            tokio::time::sleep(half).await;
            let mut ledger = cloud.ledger();
            let arriving = ledger.state.servers.get(&id).map(|server| server.status);
            // Deleted meanwhile: there is nothing left to switch on.
            if !matches!(arriving, Some(ServerStatus::Initializing | ServerStatus::Starting)) {
                return;
            }
            if on {
                cloud.switch_on(&mut ledger, id);
            }
            ledger.set_status(id, if on { ServerStatus::Running } else { ServerStatus::Off });
            ledger.state.finish_actions(id, ActionStatus::Success, now_ms());
            cloud.save_or_log(&ledger);
        });
    }

    pub(super) fn stop_later(&self, id: ServerId, machine: Option<MachineHandle>) {
        let cloud = self.clone();
        tokio::spawn(async move {
            let ended = match machine {
                Some(machine) => machine.stop(Duration::ZERO).await,
                None => true,
            };
            let outcome = if ended { ActionStatus::Success } else { ActionStatus::Error };
            cloud.settle(id, ServerStatus::Stopping, ServerStatus::Off, outcome);
        });
    }

    pub(super) fn delete_later(&self, id: ServerId, machine: Option<MachineHandle>) {
        let cloud = self.clone();
        tokio::spawn(async move {
            let gone_at = tokio::time::Instant::now() + cloud.inner.settings.delete_delay;
            let ended = match machine {
                Some(machine) => machine.stop(Duration::ZERO).await,
                None => cloud.inner.driver.clear(id).await,
            };
            if !ended {
                // Still there, and says so: a delete that left processes behind must not look done.
                return cloud.settle(id, ServerStatus::Deleting, ServerStatus::Off, ActionStatus::Error);
            }
            tokio::time::sleep_until(gone_at).await;
            cloud.inner.driver.remove(id);
            let mut ledger = cloud.ledger();
            ledger.state.servers.remove(&id);
            ledger.state.finish_actions(id, ActionStatus::Success, now_ms());
            cloud.save_or_log(&ledger);
        });
    }

    pub(super) fn settle(&self, id: ServerId, from: ServerStatus, to: ServerStatus, outcome: ActionStatus) {
        let mut ledger = self.ledger();
        if ledger.state.servers.get(&id).is_some_and(|server| server.status == from) {
            ledger.set_status(id, to);
            ledger.state.finish_actions(id, outcome, now_ms());
            self.save_or_log(&ledger);
        }
    }

    fn switch_on(&self, ledger: &mut Ledger, id: ServerId) {
        if ledger.closing {
            return;
        }
        let cloud = self.clone();
        let restart_delay = self.inner.settings.restart_delay;
        let machine = supervisor::switch_on(self.inner.driver.clone(), id, restart_delay, move || {
            cloud.ledger().machines.remove(&id);
            cloud.settle(id, ServerStatus::Running, ServerStatus::Off, ActionStatus::Success);
        });
        ledger.machines.insert(id, machine);
    }
}
