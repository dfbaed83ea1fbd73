//! WebSockets of browsers: an exact Origin and a workspace token offered as a subprotocol. A cookie alone opens none.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::claims::WorkspaceClaims;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::Attach;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::{self, Principal};
use ringfence_protocol::state::Permission;

use super::extract::{PathId, QueryParams};
use super::problem::Failure;
use super::table::Table;
use super::{App, origin};
use crate::app::workspace_token;
use crate::cloudflare::{Ticket, Viewer, forward};
use crate::error::{Error, Result};

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::Viewer])
        .serve(&routes::WORKSPACE_TERMINAL, open_terminal)
        .serve(&routes::WORKSPACE_SOCKET, open_events)
        .build()
}

/// Refuses what is not a WebSocket upgrade.
pub fn require_upgrade(headers: &HeaderMap) -> Result<()> {
    let upgrade = headers.get(header::UPGRADE).map(|value| value.as_bytes().to_ascii_lowercase());
    if upgrade.as_deref() == Some(b"websocket") {
        Ok(())
    } else {
        Err(Error::new(ErrorCode::UpgradeRequired, "Open this address as a WebSocket."))
    }
}

#[worker::send]
async fn open_terminal(
    State(app): State<App>,
    PathId(workspace): PathId<WorkspaceId>,
    headers: HeaderMap,
    QueryParams(attach): QueryParams<Attach>,
) -> std::result::Result<Response, Failure> {
    let (claims, token) = admit(&app, workspace, &headers).await?;
    attach.validate().map_err(|wrong| Error::new(ErrorCode::InvalidParameter, wrong))?;
    if !claims.permissions.contains(&Permission::TerminalRead) {
        return Err(Failure(Error::new(ErrorCode::Forbidden, "The token does not allow looking at terminals.")));
    }
    open(&app, &claims, &Ticket::Terminal { viewer: viewer(&claims), token, attach }).await
}

#[worker::send]
async fn open_events(
    State(app): State<App>,
    PathId(workspace): PathId<WorkspaceId>,
    headers: HeaderMap,
) -> std::result::Result<Response, Failure> {
    let (claims, _) = admit(&app, workspace, &headers).await?;
    open(&app, &claims, &Ticket::Events { viewer: viewer(&claims) }).await
}

async fn admit(app: &App, workspace: WorkspaceId, headers: &HeaderMap) -> Result<(WorkspaceClaims, String)> {
    let token = offered_token(headers)?;
    origin::require(headers, &app.config.origins)?;
    let verified = workspace_token::admit(&app.host, &app.config, workspace, &token).await?;
    require_upgrade(headers)?;
    Ok((verified.claims, token))
}

/// The one subprotocol that is offered beside ours: the token.
fn offered_token(headers: &HeaderMap) -> Result<String> {
    let refused =
        || Error::new(ErrorCode::TokenInvalid, "Offer two subprotocols: `ringfence.v1` and a workspace token.");
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    match offered.as_slice() {
        [first, token] if *first == SUBPROTOCOL => Ok((*token).to_owned()),
        _ => Err(refused()),
    }
}

async fn open(app: &App, claims: &WorkspaceClaims, ticket: &Ticket) -> std::result::Result<Response, Failure> {
    let answer = forward(app.host.env(), claims.node, ticket).await.map_err(Error::from)?;
    Ok(http::Response::<axum::body::Body>::from(answer).into_response())
}

fn viewer(claims: &WorkspaceClaims) -> Viewer {
    Viewer { user: claims.user, sid: claims.sid, workspace: claims.workspace, permissions: claims.permissions.clone() }
}
