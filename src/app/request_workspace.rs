//! A request for a workspace as the API takes it: the credential and its catalog are found, a repeat gets the first one's
//! answer, the act is audited in the same batch. What follows is in `create_workspace`.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{EngineChoice, Isolation};
use ringfence_protocol::views::WorkspaceView;

use super::caller::Caller;
use super::create_workspace::{CreateWorkspace, create_workspace};
use super::idempotency::Repeatable;
use super::{credentials, read, secrets};
use crate::config::Config;
use crate::domain::container::{self, Asked, Refused};
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
    match create(p, config, caller, &params, repeatable).await {
        Ok(view) => Ok(view),
        // A request with the same key came before, and its key's row made this one's batch fail: its answer is this one's.
        Err(error) => made_before(p, caller, repeatable).await?.ok_or(error),
    }
}

async fn create(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    params: &CreateWorkspaceParams,
    repeatable: &Repeatable,
) -> Result<WorkspaceView> {
    let id: WorkspaceId = p.id();
    // What is not valid is refused before anything is asked of anybody.
    let (container, sealed) = match config.engine {
        EngineChoice::Containers => {
            config.published_agent()?;
            let Asked { container, secrets } = container::ask(params, &config.settings.containers).map_err(refusal)?;
            let sealed = secrets::sealed(p, &config.keyring, caller.user.id, id, &secrets)?;
            (Some(container), sealed)
        }
        EngineChoice::Unconfined => {
            container::ask_nothing(params).map_err(refusal)?;
            (None, None)
        }
    };
    let limits = &config.settings.patience;
    let patience = limits.ask(params.idle_timeout_secs, params.stop_keep_secs).map_err(refusal)?;
    let (credential, catalog) = credentials::choose(p, config, caller, params).await?;
    let now = p.now();
    // An ephemeral one is its creator's alone: who reads the log learns that there is one, not what it is called.
    let told = match params.isolation {
        Some(Isolation::Ephemeral) => None,
        Some(Isolation::User | Isolation::Dedicated) | None => params.name.clone(),
    };
    let act = caller.act("workspace.create", id, told.unwrap_or_default());
    let mut extra = vec![audit::record(&act, now)];
    extra.extend(repeatable.statement(&id.to_string(), now));
    let asked = CreateWorkspace {
        id,
        params,
        container,
        sealed,
        patience,
        credential_id: credential.id,
        provider: credential.provider,
        catalog: &catalog,
        installation: &config.installation_id,
    };
    create_workspace(p, &config.settings, &caller.actor(), asked, extra).await
}

/// What the caller is told whose container cannot be.
pub(super) fn refusal(refused: Refused) -> Error {
    let (code, why) = match refused {
        Refused::Invalid(why) => (ErrorCode::InvalidBody, why),
        Refused::Ceiling(why) => (ErrorCode::CeilingExceeded, why),
    };
    Error::new(code, format!("{why} Nothing was created."))
}

async fn made_before(p: &impl Platform, caller: &Caller, repeatable: &Repeatable) -> Result<Option<WorkspaceView>> {
    let Some(id) = repeatable.made_before(p).await? else { return Ok(None) };
    let id = id.parse().map_err(|_| Error::internal("an idempotency row holds no workspace"))?;
    read::workspace(p, &caller.actor(), id).await.map(Some)
}
