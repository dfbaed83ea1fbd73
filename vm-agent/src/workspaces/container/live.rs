//! What the agent holds of a container that runs.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cgroup::Groups;
use super::inside;
use super::proxy::Proxy;
use super::user::User;
use super::volume::Volume;
use crate::workspaces::Voice;
use crate::workspaces::save;
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
    /// Kills for want of memory.
    oom: Mutex<OomKills>,
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
        let seen = groups.as_ref().and_then(Groups::oom_kills).unwrap_or(0);
        Self {
            container,
            pid,
            namespace: namespace(pid).unwrap_or_default(),
            shell,
            volume,
            user,
            memory_limit_bytes,
            groups,
            oom: Mutex::new(OomKills { seen, ..OomKills::default() }),
            outlet: None,
        }
    }

    /// Whether its owner has left a hook that saves before an end.
    pub(super) fn has_save_hook(&self) -> bool {
        inside::has_program(&self.volume.workspace(), save::HOOK)
    }

    /// Whether its first process is still that.
    pub(super) fn is_alive(&self) -> bool {
        namespace(self.pid).is_some_and(|namespace| namespace == self.namespace)
    }

    pub(super) fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    /// Tells the owner of processes that were killed because the memory limit was reached, not too often. Whether there were any.
    pub(super) fn look_for_oom(&self, voice: &Voice) -> bool {
        let Some(kills) = self.groups.as_ref().and_then(Groups::oom_kills) else { return false };
        let mut oom = self.oom.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = oom.seen(kills);
        if let Some(untold) = oom.due(Instant::now()) {
            let who = match untold {
                1 => "A process in this workspace was".to_owned(),
                many => format!("{many} processes in this workspace were"),
            };
            voice.notice(format!(
                "{who} killed because the memory limit of {} MiB was reached. Use less memory, or make the workspace with a higher limit.",
                self.memory_limit_bytes >> 20
            ));
        }
        is_new
    }
}

/// Kills for want of memory: as many as there are, told seldom.
#[derive(Debug, Default)]
struct OomKills {
    seen: u64,
    untold: u64,
    pace: Pace,
}

impl OomKills {
    /// The kernel has counted so many; whether any are new.
    fn seen(&mut self, kills: u64) -> bool {
        let new = kills.saturating_sub(self.seen);
        self.seen = kills;
        self.untold += new;
        new > 0
    }

    /// How many to tell of now.
    fn due(&mut self, now: Instant) -> Option<u64> {
        (self.untold > 0 && self.pace.may(now)).then(|| std::mem::take(&mut self.untold))
    }
}

/// Something that goes on for long is told at most so often: a workspace's notices are counted, and others must have room.
#[derive(Debug, Default)]
pub(super) struct Pace {
    told: Option<Instant>,
}

impl Pace {
    const EVERY: Duration = Duration::from_secs(300);

    /// Whether it may be told now. If so, it counts as told.
    pub(super) fn may(&mut self, now: Instant) -> bool {
        let may = self.told.is_none_or(|told| now.saturating_duration_since(told) >= Self::EVERY);
        if may {
            self.told = Some(now);
        }
        may
    }
}

fn namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_kills_is_told_every_five_minutes_with_none_left_out() {
        let (mut oom, start) = (OomKills { seen: 7, ..OomKills::default() }, Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        assert!(!oom.seen(7), "those of before");
        assert_eq!(oom.due(at(0)), None);
        let mut told = Vec::new();
        for look in 0..900 {
            assert!(oom.seen(8 + look));
            told.extend(oom.due(at(look * 2)));
        }
        assert!(!oom.seen(8 + 899));
        assert_eq!(told, [1, 150, 150, 150, 150, 150]);
        assert_eq!(oom.due(at(3600)), Some(149), "the last ones too");
        assert_eq!(oom.due(at(7200)), None);
    }
}
