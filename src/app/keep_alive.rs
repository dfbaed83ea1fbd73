//! An owner's wish that a workspace must not end for want of use before a given time. A repeat succeeds.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::params::KeepAliveParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::views::WorkspaceView;

use super::actor::Actor;
use super::change_workspace::change_workspace;
use crate::config::Settings;
use crate::domain::container::Refused;
use crate::domain::workspace::Event;
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};

/// Records until when the workspace is kept. `extra` is stored with it, or not at all.
pub async fn keep_alive(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: WorkspaceId,
    asked: &KeepAliveParams,
    extra: Vec<Statement>,
) -> Result<WorkspaceView> {
    let until = settings.patience.keep_alive(asked, p.now()).map_err(|refused| {
        let (code, why) = match refused {
            Refused::Invalid(why) => (ErrorCode::InvalidBody, why),
            Refused::Ceiling(why) => (ErrorCode::CeilingExceeded, why),
        };
        Error::new(code, format!("{why} Nothing was changed."))
    })?;
    change_workspace(p, settings, actor, id, Event::KeepAliveRequested(until), extra).await
}
