//! One assistant a workspace: who has it, until it is given back or the workspace stops.

use std::collections::HashMap;
use std::fmt;

use ringfence_protocol::ids::WorkspaceId;

/// Who runs the assistants of the node's workspaces. Owned by the node; nothing else starts one.
#[derive(Debug, Default)]
pub struct AssistantLocks {
    holders: HashMap<WorkspaceId, Holder>,
    taken: u64,
}

#[derive(Debug)]
struct Holder {
    number: u64,
    name: String,
}

/// Proof that a workspace's assistant may run; given back by [`AssistantLocks::release`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    workspace_id: WorkspaceId,
    number: u64,
}

/// Somebody else has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub by: String,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an assistant runs in this workspace already: {}", self.by)
    }
}

impl AssistantLocks {
    /// Takes a workspace's lock, or says who has it.
    pub fn take(&mut self, workspace_id: WorkspaceId, name: &str) -> Result<Hold, Held> {
        if let Some(holder) = self.holders.get(&workspace_id) {
            return Err(Held { by: holder.name.clone() });
        }
        self.taken += 1;
        let number = self.taken;
        self.holders.insert(workspace_id, Holder { number, name: name.to_owned() });
        Ok(Hold { workspace_id, number })
    }

    /// Whether it is still who has it.
    pub fn is_held(&self, hold: Hold) -> bool {
        self.holders.get(&hold.workspace_id).is_some_and(|holder| holder.number == hold.number)
    }

    /// Gives it back. One that was lost to a stop meanwhile is not taken from who has it now.
    pub fn release(&mut self, hold: Hold) {
        if self.is_held(hold) {
            self.holders.remove(&hold.workspace_id);
        }
    }

    /// The workspace stops, and its assistant with it.
    pub fn workspace_stopped(&mut self, workspace_id: WorkspaceId) {
        self.holders.remove(&workspace_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> WorkspaceId {
        WorkspaceId::from_entropy([n; 13])
    }

    #[test]
    fn a_second_assistant_is_refused_and_told_who_runs() {
        let mut locks = AssistantLocks::default();
        let hold = locks.take(id(1), "first").unwrap();
        assert_eq!(locks.take(id(1), "second"), Err(Held { by: "first".into() }));
        assert!(locks.take(id(2), "elsewhere").is_ok());
        locks.release(hold);
        assert!(locks.take(id(1), "second").is_ok());
    }

    #[test]
    fn a_stop_frees_the_lock_and_who_had_it_cannot_free_the_next_ones() {
        let mut locks = AssistantLocks::default();
        let lost = locks.take(id(1), "first").unwrap();
        locks.workspace_stopped(id(1));
        locks.take(id(1), "second").unwrap();
        locks.release(lost);
        assert_eq!(locks.take(id(1), "third"), Err(Held { by: "second".into() }));
    }
}
