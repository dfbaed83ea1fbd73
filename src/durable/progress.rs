//! How often an agent's progress is recorded: shown each time, it moves a workspace's deadline only now and then. A memory of the
//! object's alone; losing it costs one statement more.

use std::cell::RefCell;
use std::time::Duration;

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::time::UnixMillis;

/// How long a workspace's progress is not recorded again: a quarter of the time that it gives, so that none is missed.
const PAUSE: Duration = Duration::from_secs(25);
/// Workspaces remembered: a node has a handful.
const MAX_REMEMBERED: usize = 16;

/// When the progress of which workspace was last recorded.
#[derive(Default)]
pub struct ProgressRecord {
    recorded: RefCell<Vec<(WorkspaceId, UnixMillis)>>,
}

impl ProgressRecord {
    /// Whether it is time to record this workspace's progress; counts as recorded from then on.
    pub fn is_due(&self, workspace: WorkspaceId, now: UnixMillis) -> bool {
        let mut recorded = self.recorded.borrow_mut();
        recorded.retain(|(_, at)| now.since(*at) < PAUSE);
        if recorded.len() >= MAX_REMEMBERED || recorded.iter().any(|(known, _)| *known == workspace) {
            return false;
        }
        recorded.push((workspace, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_protocol::ids::Id;

    #[test]
    fn progress_of_each_workspace_is_recorded_now_and_then() {
        let record = ProgressRecord::default();
        let workspace = |n| Id::from_entropy([n; 13]);
        let at = |secs: i64| UnixMillis::from_secs(1_000 + secs);
        assert!(record.is_due(workspace(1), at(0)));
        assert!(!record.is_due(workspace(1), at(1)));
        assert!(record.is_due(workspace(2), at(1)));
        assert!(!record.is_due(workspace(1), at(24)));
        assert!(record.is_due(workspace(1), at(25)));
        let made_up = (3..200).filter(|n| record.is_due(workspace(*n), at(26))).count();
        assert!(made_up < MAX_REMEMBERED, "ids that are made up cost nothing");
    }
}
