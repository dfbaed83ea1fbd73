//! What workspaces ask at their sockets: the assistant's lock, its turns, and to be kept awake.

use std::time::{Duration, Instant};

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::LEASE_MAX_SECS;

use super::Node;
use crate::workspaces::agent_socket::{AgentSocket, Answer, Asked, Wish};

/// A turn is at most so long; an assistant that is at work for longer says so again.
const LONGEST_TURN: Duration = Duration::from_secs(LEASE_MAX_SECS);

impl Node {
    /// The workspace runs: what runs in it may ask. Without the socket it runs as well.
    pub(super) fn open_socket(&mut self, workspace_id: WorkspaceId) {
        if self.sockets.contains_key(&workspace_id) {
            return;
        }
        let Some(socket_place) = self.engine.socket_place(workspace_id) else { return };
        match AgentSocket::open(&socket_place, workspace_id, self.asked_sender.clone()) {
            Ok(socket) => {
                self.sockets.insert(workspace_id, socket);
            }
            Err(error) => {
                tracing::warn!(workspace.id = %workspace_id, path = %socket_place.path.display(), %error, "a workspace has no socket");
            }
        }
    }

    /// The workspace does not run any more: its assistant neither.
    pub(super) fn close_socket(&mut self, workspace_id: WorkspaceId) {
        self.sockets.remove(&workspace_id);
        self.assistants.workspace_stopped(workspace_id);
    }

    /// Somebody asks.
    pub(super) fn asked(&mut self, asked: Asked) {
        let answer = self.answer(asked.workspace_id, asked.wish);
        // Whoever asked may have gone.
        let _ = asked.answer.send(answer);
    }

    fn answer(&mut self, workspace_id: WorkspaceId, wish: Wish) -> Answer {
        let now = Instant::now();
        let is_stale = || Answer::Refused("the workspace was stopped, and its lock is free".into());
        match wish {
            // What was asked at a socket that is closed by now.
            Wish::Assistant(_) | Wish::KeepAwake(_) if !self.sockets.contains_key(&workspace_id) => is_stale(),
            Wish::Assistant(name) => match self.assistants.take(workspace_id, &name) {
                Ok(hold) => {
                    tracing::info!(workspace.id = %workspace_id, name, "assistant");
                    Answer::Taken(hold)
                }
                Err(held) => Answer::Refused(held.to_string()),
            },
            Wish::Turn(hold, _) | Wish::TurnEnd(hold) if !self.assistants.is_held(hold) => is_stale(),
            Wish::Turn(_, lease) => {
                let lease = lease.min(LONGEST_TURN);
                self.activity.turn(workspace_id, lease, now);
                Answer::For(lease)
            }
            Wish::TurnEnd(_) => {
                self.activity.turn_ended(workspace_id);
                Answer::Done
            }
            Wish::KeepAwake(time) => {
                let time = time.min(self.constants.keep_awake_max);
                self.activity.keep_awake(workspace_id, time, now);
                Answer::For(time)
            }
            Wish::Left(hold) => {
                if self.assistants.is_held(hold) {
                    self.activity.turn_ended(workspace_id);
                }
                self.assistants.release(hold);
                Answer::Done
            }
        }
    }
}
