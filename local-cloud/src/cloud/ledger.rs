//! State and machine handles behind the cloud's one lock, and the questions every verb asks of them.

use crate::clock::now_ms;
use crate::error::{ApiError, ErrorCode};
use crate::machine::supervisor::MachineHandle;
use crate::network::addresses::Slot;
use crate::state::{Action, ActionStatus, Command, ProjectId, Server, ServerId, ServerStatus, State};
use std::collections::HashMap;

pub(super) struct Ledger {
    pub(super) state: State,
    pub(super) machines: HashMap<ServerId, MachineHandle>,
    /// Set once at the end: no machine is switched on any more.
    pub(super) closing: bool,
}

impl Ledger {
    /// The server, if it is this project's.
    pub(super) fn owned(&mut self, project: &ProjectId, id: ServerId) -> Result<&mut Server, ApiError> {
        let owned = self.state.servers.get_mut(&id).filter(|server| server.project == *project);
        owned.ok_or_else(|| ApiError::not_found("server"))
    }

    pub(super) fn admit(&self, project: &ProjectId, name: &str, servers_max: usize) -> Result<(), ApiError> {
        self.check_name_free(project, name)?;
        let count = self.state.servers.values().filter(|server| server.project == *project).count();
        if count >= servers_max {
            return Err(ApiError::new(ErrorCode::ResourceLimitExceeded, "server limit exceeded"));
        }
        Ok(())
    }

    /// A place in the network that no machine has.
    pub(super) fn free_slot(&self) -> Result<Slot, ApiError> {
        let taken = self.state.servers.values().filter_map(|server| server.slot);
        Slot::free(taken).ok_or_else(|| ApiError::new(ErrorCode::ResourceLimitExceeded, "no address is free"))
    }

    pub(super) fn check_name_free(&self, project: &ProjectId, name: &str) -> Result<(), ApiError> {
        let taken = self.state.servers.values().any(|server| server.project == *project && server.name == name);
        if taken { Err(ApiError::name_taken()) } else { Ok(()) }
    }

    pub(super) fn set_status(&mut self, id: ServerId, status: ServerStatus) {
        if let Some(server) = self.state.servers.get_mut(&id) {
            server.status = status;
        }
    }

    /// Begins an action, which is already over when there is nothing to do.
    pub(super) fn act(&mut self, project: &ProjectId, id: ServerId, command: Command, over: bool) -> Action {
        let action = self.state.begin_action(project, id, command, now_ms());
        if over {
            self.state.finish_actions(id, ActionStatus::Success, now_ms());
        }
        self.state.action(action.id).cloned().unwrap_or(action)
    }
}
