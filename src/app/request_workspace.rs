//! A request for a workspace as the API takes it: the credential and its catalog are found, a repeat gets the first one's
//! answer, the act is audited in the same batch. What follows is in `create_workspace`.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::views::WorkspaceView;

use super::caller::Caller;
use super::create_workspace::{CreateWorkspace, create_workspace};
use super::idempotency::Repeatable;
use super::{credentials, read};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::store::audit;

/// Creates a workspace, once for each idempotency key.
pub async fn request_workspace(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    params: CreateWorkspaceParams,
    repeatable: &Repeatable,
) -> Result<WorkspaceView> {
    if let Some(earlier) = made_before(p, caller, repeatable).await? {
        return Ok(earlier);
    }
    if config.engine.is_none() {
        return Err(Error::new(
            ErrorCode::Unavailable,
            "This installation has nothing to run workspaces with. For a local trial without isolation, its operator can set RINGFENCE_ENGINE=unconfined.",
        ));
    }
    let credential = credentials::choose(p, caller, &params).await?;
    let (catalog, _) = credentials::catalog(p, config, &credential).await?;
    let id: WorkspaceId = p.id();
    let now = p.now();
    let act = caller.act("workspace.create", id, params.name.clone().unwrap_or_default());
    let mut extra = vec![audit::record(&act, now)];
    extra.extend(repeatable.statements(&id.to_string(), now));
    let asked = CreateWorkspace {
        id,
        params: &params,
        credential_id: credential.id,
        provider: credential.provider,
        catalog: &catalog,
        installation: &config.installation_id,
    };
    match create_workspace(p, &config.settings, &caller.actor(), asked, extra).await {
        Ok(view) => Ok(view),
        // Another request with the same key may have been faster: then its answer is this one's.
        Err(error) => made_before(p, caller, repeatable).await?.ok_or(error),
    }
}

async fn made_before(p: &impl Platform, caller: &Caller, repeatable: &Repeatable) -> Result<Option<WorkspaceView>> {
    let Some(id) = repeatable.made_before(p).await? else { return Ok(None) };
    let id = id.parse().map_err(|_| Error::internal("an idempotency row holds no workspace"))?;
    read::workspace(p, &caller.actor(), id).await.map(Some)
}
