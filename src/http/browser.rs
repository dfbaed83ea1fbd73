//! What a signed-in user may ask, with a browser or an API token; sessions and tokens themselves with a browser only.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::{StatusCode, header};
use ringfence_protocol::gateway::GatewayTokenView;
use ringfence_protocol::ids::{ApiTokenId, CredentialId, NodeId, SessionId, WorkspaceId};
use ringfence_protocol::lifecycle::LifecycleView;
use ringfence_protocol::limits::LimitView;
use ringfence_protocol::params::{
    CreateApiTokenParams, CreateCredentialParams, CreateWorkspaceParams, CreateWorkspaceTokenParams, EventsParams,
    KeepAliveParams, OwnListParams, ReplaceCredentialParams,
};
use ringfence_protocol::receipt::ReceiptView;
use ringfence_protocol::routes::{self, Principal};
use ringfence_protocol::views::{
    ApiTokenView, CatalogView, CreatedApiTokenView, CredentialView, EventsView, MeView, Page, PostureView,
    ProviderView, SessionView, WorkspaceTokenView, WorkspaceView,
};

use super::extract::{Browser, IdempotencyKey, JsonBody, PathId, QueryParams, User};
use super::problem::Failure;
use super::table::Table;
use super::{App, cookie};
use crate::app::caller::Caller;
use crate::app::idempotency::Repeatable;
use crate::app::request_workspace::request_workspace;
use crate::app::{
    api_tokens, credentials, delete_workspace, gateway, keep_alive, lifecycle, limits, read, receipt, sessions,
    set_running, workspace_token,
};
use crate::domain::mac;
use crate::ports::{Clock, Statement};
use crate::store::audit;

type Answer<T> = Result<T, Failure>;

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::User, Principal::Session])
        .serve(&routes::ME, me)
        .serve(&routes::SIGN_OUT, sign_out)
        .serve(&routes::SESSIONS_LIST, list_sessions)
        .serve(&routes::SESSION_REVOKE, revoke_session)
        .serve(&routes::TOKENS_LIST, list_tokens)
        .serve(&routes::TOKEN_CREATE, create_token)
        .serve(&routes::TOKEN_REVOKE, revoke_token)
        .serve(&routes::PROVIDERS_LIST, list_providers)
        .serve(&routes::CREDENTIALS_LIST, list_credentials)
        .serve(&routes::CREDENTIAL_CREATE, create_credential)
        .serve(&routes::CREDENTIAL_GET, get_credential)
        .serve(&routes::CREDENTIAL_DELETE, delete_credential)
        .serve(&routes::CREDENTIAL_VALIDATE, validate_credential)
        .serve(&routes::CREDENTIAL_REPLACE, replace_credential)
        .serve(&routes::CREDENTIAL_CATALOG, get_catalog)
        .serve(&routes::WORKSPACES_LIST, list_workspaces)
        .serve(&routes::WORKSPACE_CREATE, create_workspace)
        .serve(&routes::WORKSPACE_GET, get_workspace)
        .serve(&routes::WORKSPACE_DELETE, remove_workspace)
        .serve(&routes::WORKSPACE_STOP, stop_workspace)
        .serve(&routes::WORKSPACE_START, start_workspace)
        .serve(&routes::WORKSPACE_KEEP_ALIVE, keep_workspace_alive)
        .serve(&routes::WORKSPACE_POSTURE, get_workspace_posture)
        .serve(&routes::WORKSPACE_RECEIPT, get_receipt)
        .serve(&routes::WORKSPACE_LIFECYCLE, get_workspace_lifecycle)
        .serve(&routes::WORKSPACE_TOKEN, create_workspace_token)
        .serve(&routes::NODE_GATEWAY_TOKEN, create_gateway_token)
        .serve(&routes::EVENTS, list_events)
        .serve(&routes::USAGE, get_usage)
        .build()
}

async fn me(State(app): State<App>, User(caller): User) -> Json<MeView> {
    Json(sessions::me(&app.config, &caller))
}

#[worker::send]
async fn sign_out(State(app): State<App>, Browser(caller): Browser) -> Answer<Response> {
    sessions::revoke(&app.host, &caller, caller.session()?).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie::clear()?)]).into_response())
}

#[worker::send]
async fn list_sessions(State(app): State<App>, Browser(caller): Browser) -> Answer<Json<Page<SessionView>>> {
    Ok(Json(sessions::list(&app.host, &caller).await?))
}

#[worker::send]
async fn revoke_session(
    State(app): State<App>,
    Browser(caller): Browser,
    PathId(id): PathId<SessionId>,
) -> Answer<StatusCode> {
    sessions::revoke(&app.host, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[worker::send]
async fn list_tokens(State(app): State<App>, Browser(caller): Browser) -> Answer<Json<Page<ApiTokenView>>> {
    Ok(Json(api_tokens::list(&app.host, &caller).await?))
}

#[worker::send]
async fn create_token(
    State(app): State<App>,
    Browser(caller): Browser,
    IdempotencyKey(key): IdempotencyKey,
    body: JsonBody<CreateApiTokenParams>,
) -> Answer<(StatusCode, Json<CreatedApiTokenView>)> {
    let repeatable = Repeatable::new(&caller, &routes::TOKEN_CREATE, key, body.sha256);
    Ok((
        StatusCode::CREATED,
        Json(api_tokens::create(&app.host, &app.config, &caller, body.params, &repeatable).await?),
    ))
}

#[worker::send]
async fn revoke_token(
    State(app): State<App>,
    Browser(caller): Browser,
    PathId(id): PathId<ApiTokenId>,
) -> Answer<StatusCode> {
    api_tokens::revoke(&app.host, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_providers(User(_): User) -> Json<Page<ProviderView>> {
    Json(credentials::providers())
}

#[worker::send]
async fn list_credentials(State(app): State<App>, User(caller): User) -> Answer<Json<Page<CredentialView>>> {
    Ok(Json(credentials::list(&app.host, &caller).await?))
}

#[worker::send]
async fn create_credential(
    State(app): State<App>,
    User(caller): User,
    IdempotencyKey(key): IdempotencyKey,
    body: JsonBody<CreateCredentialParams>,
) -> Answer<(StatusCode, Json<CredentialView>)> {
    let repeatable =
        Repeatable::new(&caller, &routes::CREDENTIAL_CREATE, key, mac::fingerprint(&app.config.keyring, &body.sha256));
    let view = credentials::create(&app.host, &app.config, &caller, body.params, &repeatable).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

#[worker::send]
async fn get_credential(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<CredentialId>,
) -> Answer<Json<CredentialView>> {
    Ok(Json(credentials::get(&app.host, &caller, id).await?))
}

#[worker::send]
async fn delete_credential(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<CredentialId>,
) -> Answer<StatusCode> {
    credentials::delete(&app.host, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[worker::send]
async fn validate_credential(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<CredentialId>,
) -> Answer<Json<CredentialView>> {
    Ok(Json(credentials::validate(&app.host, &app.config, &caller, id).await?))
}

#[worker::send]
async fn replace_credential(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<CredentialId>,
    body: JsonBody<ReplaceCredentialParams>,
) -> Answer<Json<CredentialView>> {
    Ok(Json(credentials::replace(&app.host, &app.config, &caller, id, body.params).await?))
}

#[worker::send]
async fn get_catalog(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<CredentialId>,
) -> Answer<Json<CatalogView>> {
    Ok(Json(credentials::catalog_view(&app.host, &app.config, &caller, id).await?))
}

#[worker::send]
async fn list_workspaces(
    State(app): State<App>,
    User(caller): User,
    QueryParams(params): QueryParams<OwnListParams>,
) -> Answer<Json<Page<WorkspaceView>>> {
    let actor = caller.actor();
    Ok(Json(match params.gone {
        true => read::ended_workspaces(&app.host, &actor, &params.page()).await?,
        false => read::workspaces(&app.host, &actor, &params.page()).await?,
    }))
}

#[worker::send]
async fn create_workspace(
    State(app): State<App>,
    User(caller): User,
    IdempotencyKey(key): IdempotencyKey,
    body: JsonBody<CreateWorkspaceParams>,
) -> Answer<(StatusCode, Json<WorkspaceView>)> {
    let repeatable =
        Repeatable::new(&caller, &routes::WORKSPACE_CREATE, key, mac::fingerprint(&app.config.keyring, &body.sha256));
    let view = request_workspace(&app.host, &app.config, &caller, body.params, &repeatable).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

#[worker::send]
async fn get_workspace(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
) -> Answer<Json<WorkspaceView>> {
    Ok(Json(read::workspace(&app.host, &caller.actor(), id).await?))
}

#[worker::send]
async fn remove_workspace(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
) -> Answer<(StatusCode, Json<WorkspaceView>)> {
    let view = delete_workspace::delete_workspace(
        &app.host,
        &app.config.settings,
        &caller.actor(),
        id,
        audited(&app, &caller, "workspace.delete", id),
    )
    .await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

#[worker::send]
async fn stop_workspace(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
) -> Answer<(StatusCode, Json<WorkspaceView>)> {
    let view = set_running::stop_workspace(
        &app.host,
        &app.config.settings,
        &caller.actor(),
        id,
        audited(&app, &caller, "workspace.stop", id),
    )
    .await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

#[worker::send]
async fn start_workspace(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
) -> Answer<(StatusCode, Json<WorkspaceView>)> {
    let view = set_running::start_workspace(
        &app.host,
        &app.config.settings,
        &caller.actor(),
        id,
        audited(&app, &caller, "workspace.start", id),
    )
    .await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

#[worker::send]
async fn keep_workspace_alive(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
    body: JsonBody<KeepAliveParams>,
) -> Answer<Json<WorkspaceView>> {
    let extra = audited(&app, &caller, "workspace.keep_alive", id);
    let (settings, actor) = (&app.config.settings, caller.actor());
    Ok(Json(keep_alive::keep_alive(&app.host, settings, &actor, id, &body.params, extra).await?))
}

#[worker::send]
async fn get_workspace_posture(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
) -> Answer<Json<PostureView>> {
    Ok(Json(read::workspace_posture(&app.host, &caller.actor(), id).await?))
}

#[worker::send]
async fn get_receipt(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
) -> Answer<Json<ReceiptView>> {
    Ok(Json(receipt::receipt(&app.host, &caller.actor(), id).await?))
}

#[worker::send]
async fn get_workspace_lifecycle(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
) -> Answer<Json<LifecycleView>> {
    Ok(Json(lifecycle::of_workspace(&app.host, &app.config.settings.timing, &caller.actor(), id).await?))
}

#[worker::send]
async fn create_workspace_token(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<WorkspaceId>,
    body: JsonBody<CreateWorkspaceTokenParams>,
) -> Answer<(StatusCode, Json<WorkspaceTokenView>)> {
    let view = workspace_token::create(&app.host, &app.config, &caller, id, body.params).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

#[worker::send]
async fn create_gateway_token(
    State(app): State<App>,
    Browser(caller): Browser,
    PathId(id): PathId<NodeId>,
    IdempotencyKey(key): IdempotencyKey,
) -> Answer<(StatusCode, Json<GatewayTokenView>)> {
    // The body is empty: which node it is for stands in its place.
    let repeatable = Repeatable::new(&caller, &routes::NODE_GATEWAY_TOKEN, key, id.to_string());
    let view = gateway::create(&app.host, &app.config, &caller, id, &repeatable).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

#[worker::send]
async fn list_events(
    State(app): State<App>,
    User(caller): User,
    QueryParams(params): QueryParams<EventsParams>,
) -> Answer<Json<EventsView>> {
    Ok(Json(read::events(&app.host, &caller.actor(), &params).await?))
}

#[worker::send]
async fn get_usage(State(app): State<App>, User(caller): User) -> Answer<Json<Page<LimitView>>> {
    Ok(Json(limits::own_usage(&app.host, &app.config, &caller).await?))
}

/// The row of the audit log that goes into the batch of an act.
pub(super) fn audited(app: &App, caller: &Caller, action: &'static str, subject: impl ToString) -> Vec<Statement> {
    vec![audit::record(&caller.act(action, subject, ""), app.host.now())]
}
