//! Workspace tokens: made for the owner of a workspace, checked when a socket is opened with one.

use ringfence_protocol::claims::WorkspaceClaims;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::params::{CreateWorkspaceTokenParams, SecretText};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Permission, WorkspaceState};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::WorkspaceTokenView;

use super::caller::Caller;
use crate::config::Config;
use crate::domain::token::{self, Verified};
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::store::admission::{self, PlacedRow};
use crate::store::identity::{self, GrantRow};
use crate::store::{audit, first, one};

/// Makes a token for one of the caller's workspaces.
pub async fn create(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    workspace: WorkspaceId,
    params: CreateWorkspaceTokenParams,
) -> Result<WorkspaceTokenView> {
    let placed: PlacedRow =
        one(p, admission::placed(workspace, caller.user.id)).await?.ok_or_else(|| Error::not_found("workspace"))?;
    if placed.state == WorkspaceState::Gone {
        return Err(Error::new(ErrorCode::Conflict, "The workspace is gone. Its history is still on its page."));
    }
    let mut permissions =
        params.permissions.unwrap_or_else(|| vec![Permission::TerminalRead, Permission::TerminalWrite]);
    permissions.sort_unstable();
    permissions.dedup();
    if permissions.is_empty() {
        return Err(Error::new(ErrorCode::InvalidBody, "permissions: at least one."));
    }
    let now = p.now();
    let claims = WorkspaceClaims {
        jti: p.id(),
        user: caller.user.id,
        workspace,
        node: placed.node_id,
        permissions: permissions.clone(),
        sid: caller.grant,
    };
    let act = caller.act("workspace_token.create", workspace, claims.jti.to_string());
    p.batch(vec![audit::record(&act, now)]).await?;
    let (token, expires_at) = token::sign(&config.keyring, config.origin(), claims, now)
        .ok_or_else(|| Error::internal("cannot sign a workspace token"))?;
    Ok(WorkspaceTokenView { token: SecretText::new(token), permissions, expires_at })
}

/// Checks a token that is to open a socket: its signature first, then that its session and its workspace still stand.
/// The object repeats the second part once it holds the socket, so that nothing slips in between.
pub async fn admit(
    p: &impl Platform,
    config: &Config,
    workspace: WorkspaceId,
    text: &str,
) -> Result<Verified<WorkspaceClaims>> {
    let refused = || Error::new(ErrorCode::TokenInvalid, "The workspace token is not valid here. Make a new one.");
    let verified =
        token::verify::<WorkspaceClaims>(&config.keyring, config.origin(), text, p.now()).map_err(|_| refused())?;
    if verified.claims.workspace != workspace {
        return Err(Error::not_found("workspace"));
    }
    if still_stands(p, &verified.claims).await?.is_some() { Ok(verified) } else { Err(refused()) }
}

/// What a token stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// When the session ends, which is when sockets opened with the token must close.
    pub ends_at: UnixMillis,
    /// Whether the workspace is being deleted: its end can still be watched, but no terminal opens in it any more.
    pub is_ending: bool,
}

/// Whether what a token was made from still stands: its session or API token, and its workspace on that node.
pub async fn still_stands(p: &impl Platform, claims: &WorkspaceClaims) -> Result<Option<Standing>> {
    let outcomes =
        p.batch(vec![identity::grant_by_id(claims.sid), admission::placed(claims.workspace, claims.user)]).await?;
    let mut outcomes = outcomes.into_iter();
    let grant: Option<GrantRow> = first(outcomes.next())?;
    let placed: Option<PlacedRow> = first(outcomes.next())?;
    let (Some(grant), Some(placed)) = (grant, placed) else { return Ok(None) };
    let holds = grant.holds(p.now()) && grant.user.id == claims.user && placed.node_id == claims.node;
    Ok((holds && placed.state != WorkspaceState::Gone).then(|| Standing {
        ends_at: UnixMillis::new(grant.expires_at_ms),
        is_ending: placed.state == WorkspaceState::Deleting,
    }))
}
