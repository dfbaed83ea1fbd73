//! What the agent holds of a container that runs.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::cgroup::Groups;
use super::proxy::Proxy;
use super::user::User;
use super::volume::Volume;
use crate::workspaces::Voice;
use crate::workspaces::task::Task;

/// A running container. Dropping it ends what the agent does for it, not the container.
pub(super) struct Live {
    /// The engine's name for it.
    pub(super) container: String,
    /// Its first process, as the machine numbers it.
    pub(super) pid: i32,
    /// That process's namespace: a number may be given again, this is not.
    pub(super) namespace: PathBuf,
    /// Its shell, if the image has one.
    pub(super) shell: Option<&'static str>,
    pub(super) volume: Volume,
    /// Whose everything in it is.
    pub(super) user: User,
    pub(super) memory_limit_bytes: u64,
    groups: Option<Groups>,
    /// Kills for want of memory that were told already.
    told_oom_kills: Mutex<u64>,
    /// Of a restricted network: the proxy, and the way to it.
    pub(super) outlet: Option<(Proxy, Task)>,
}

impl Live {
    pub(super) fn new(
        container: String,
        pid: i32,
        shell: Option<&'static str>,
        volume: Volume,
        user: User,
        memory_limit_bytes: u64,
    ) -> Self {
        let groups = Groups::of(pid);
        let told = groups.as_ref().and_then(Groups::oom_kills).unwrap_or(0);
        Self {
            container,
            pid,
            namespace: namespace(pid).unwrap_or_default(),
            shell,
            volume,
            user,
            memory_limit_bytes,
            groups,
            told_oom_kills: Mutex::new(told),
            outlet: None,
        }
    }

    /// Whether its first process is still that.
    pub(super) fn is_alive(&self) -> bool {
        namespace(self.pid).is_some_and(|namespace| namespace == self.namespace)
    }

    pub(super) fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    /// Tells the owner of processes that were killed because the memory limit was reached. Whether there were any.
    pub(super) fn look_for_oom(&self, voice: &Voice) -> bool {
        let Some(kills) = self.groups.as_ref().and_then(Groups::oom_kills) else { return false };
        let mut told = self.told_oom_kills.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = kills > *told;
        if is_new {
            voice.notice(format!(
                "A process in this workspace was killed because the memory limit of {} MiB was reached. Use less memory, or make the workspace with a higher limit.",
                self.memory_limit_bytes >> 20
            ));
        }
        *told = kills;
        is_new
    }
}

fn namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
