//! What a workspace is alive for and what happens to it next, in words.

use std::time::Duration;

use ringfence_protocol::state::{ActivityCause, EndingCause, WorkspaceState};
use ringfence_protocol::time::UnixMillis;

use super::{State, Workspace};
use crate::domain::node::{Next, Standing};
use crate::domain::patience::spoken;

/// What is no longer ago than that is said to be now: use is recorded in steps.
const JUST_NOW: Duration = Duration::from_secs(60);

impl Workspace {
    /// Why it is still there, and what follows, on a node that ends at `node_ends_at` whatever happens and whose machine,
    /// where its agent is away, is off at `off_at`. None when nothing of it is left.
    pub fn standing(
        &self,
        node_ends_at: UnixMillis,
        off_at: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Option<Standing<WorkspaceState>> {
        let because = match self.state {
            State::Requested | State::Placing | State::Creating => "because it is being made.".into(),
            State::Running if self.running && off_at.is_some() => {
                "because its node's agent is away: nobody knows whether it is used.".into()
            }
            State::Running => self.used_or_kept(now),
            State::Stopped => self.kept(now),
            State::Deleting => "because its node is removing what is left of it.".into(),
            State::Failed { .. } if self.holds_place => "because what there is of it is being removed.".into(),
            State::Failed { .. } => "because you have not deleted it; nothing runs and nothing of it is kept.".into(),
            State::Gone => return None,
        };
        let next = self.next(node_ends_at, off_at);
        Some(Standing { because, until: next.as_ref().map(|next| next.at), next })
    }

    fn used_or_kept(&self, now: UnixMillis) -> String {
        if self.keep_alive_until.is_some_and(|until| until > now) {
            return "because you asked to keep it.".into();
        }
        let Some(used) = self.last_use else { return "because it runs; its agent does not tell of use.".into() };
        let what = match used.cause {
            ActivityCause::Started => "it was started",
            ActivityCause::TerminalInput => "somebody typed in it",
            ActivityCause::TerminalOutput => "somebody watched what it prints",
            ActivityCause::Process => "a process worked in it",
            ActivityCause::Assistant => "its assistant was at work",
            ActivityCause::KeepAwake => "something in it asked that it be kept awake",
        };
        match now.since(used.until) {
            ago if ago < JUST_NOW => format!("because {what} just now."),
            ago => format!("because {what} {} ago.", spoken(Duration::from_secs(ago.as_secs() / 60 * 60))),
        }
    }

    fn kept(&self, now: UnixMillis) -> String {
        if self.keep_alive_until.is_some_and(|until| until > now) {
            "because you asked to keep it: its files are there.".into()
        } else {
            "because its files are kept after it was stopped.".into()
        }
    }

    fn next(&self, node_ends_at: UnixMillis, off_at: Option<UnixMillis>) -> Option<Next<WorkspaceState>> {
        let late = |to, why: &str| self.deadline.map(|at| Next { to, at, why: why.to_owned() });
        match self.state {
            State::Requested | State::Placing => late(WorkspaceState::Failed, "If its node is not ready by then."),
            State::Creating => {
                late(WorkspaceState::Failed, "If its node has not made it, or reported progress, by then.")
            }
            State::Deleting => late(WorkspaceState::Gone, "Whatever its node says by then."),
            State::Running | State::Stopped => self.ending(node_ends_at, off_at).map(|ending| Next {
                to: match ending.cause {
                    EndingCause::Idle | EndingCause::AgentAway => WorkspaceState::Stopped,
                    EndingCause::KeepOver => WorkspaceState::Deleting,
                    EndingCause::LifetimeOver => WorkspaceState::Failed,
                },
                at: ending.at,
                why: ending.sentence(),
            }),
            State::Failed { .. } | State::Gone => None,
        }
    }
}
