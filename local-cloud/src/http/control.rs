//! What no real cloud has: a look at the machines, faults on command, the log of requests. Without a token, hence only for
//! callers on this computer that are not a web page (see [`only_from_here`]).

use super::gate::bearer;
use super::servers::server_id;
use crate::cloud::{Cloud, MachineReport};
use crate::command::Outcome;
use crate::error::{ApiError, ErrorCode};
use crate::faults::FaultOrder;
use crate::order::parse_body;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

type Answer = Result<Json<Value>, ApiError>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KillBody {
    #[serde(default)]
    signal: Option<String>,
}

/// A page in a browser on this computer can reach loopback too, under our name or, with rebound DNS, under its own. Neither may
/// order faults.
pub(super) async fn only_from_here(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if headers.contains_key(header::ORIGIN) || !matches!(name, "127.0.0.1" | "localhost" | "[::1]") {
        return ApiError::new(ErrorCode::Forbidden, "not for web pages").into_response();
    }
    next.run(request).await
}

pub(super) async fn machines(State(cloud): State<Cloud>) -> Json<Value> {
    let machines: Vec<Value> = cloud.machines().iter().map(machine).collect();
    Json(json!({"machines": machines}))
}

pub(super) async fn kill(
    State(cloud): State<Cloud>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let body = if body.is_empty() { KillBody { signal: None } } else { parse_body(&body)? };
    let signal = signal(body.signal.as_deref().unwrap_or("KILL"))
        .ok_or_else(|| ApiError::invalid("signal", "unknown signal"))?;
    cloud.signal_machine(server_id(&id)?, signal).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A program to run, in a machine or in the cloud's network.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecBody {
    argv: Vec<String>,
    #[serde(default)]
    stdin: String,
    #[serde(default = "exec_timeout_secs")]
    timeout_secs: u64,
}

const EXEC_TIMEOUT_MAX_SECS: u64 = 900;

fn exec_timeout_secs() -> u64 {
    60
}

impl ExecBody {
    fn parse(body: &Bytes) -> Result<Self, ApiError> {
        let body: Self = parse_body(body)?;
        if body.argv.is_empty() || body.argv.iter().any(|argument| argument.contains('\0')) {
            return Err(ApiError::invalid("argv", "must name a program"));
        }
        if !(1..=EXEC_TIMEOUT_MAX_SECS).contains(&body.timeout_secs) {
            return Err(ApiError::invalid("timeout_secs", format!("must be 1 to {EXEC_TIMEOUT_MAX_SECS}")));
        }
        Ok(body)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout_secs)
    }
}

pub(super) async fn exec(
    State(cloud): State<Cloud>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    may_write(&cloud, &headers)?;
    let order = ExecBody::parse(&body)?;
    let outcome = cloud.exec(server_id(&id)?, &order.argv, order.stdin.as_bytes(), order.limit()).await?;
    Ok(Json(exec_view(&outcome)))
}

pub(super) async fn exec_outside(State(cloud): State<Cloud>, headers: HeaderMap, body: Bytes) -> Answer {
    may_write(&cloud, &headers)?;
    let order = ExecBody::parse(&body)?;
    let outcome = cloud.exec_outside(&order.argv, order.stdin.as_bytes(), order.limit()).await?;
    Ok(Json(exec_view(&outcome)))
}

/// Unlike the rest of this page, running programs takes a token: they run as root, and other accounts of this computer reach
/// loopback too.
fn may_write(cloud: &Cloud, headers: &HeaderMap) -> Result<(), ApiError> {
    match bearer(headers).and_then(|token| cloud.grant(token)) {
        Some(grant) if grant.may_write => Ok(()),
        Some(_) => Err(ApiError::new(ErrorCode::TokenReadonly, "token is only allowed to perform GET requests")),
        None => Err(ApiError::new(ErrorCode::Unauthorized, "running a program needs an API token")),
    }
}

fn exec_view(outcome: &Outcome) -> Value {
    json!({
        "exit": outcome.exit,
        "stdout": String::from_utf8_lossy(&outcome.stdout),
        "stderr": String::from_utf8_lossy(&outcome.stderr),
        "timed_out": outcome.timed_out,
    })
}

pub(super) async fn console(State(cloud): State<Cloud>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let console = cloud.console(server_id(&id)?)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], console)
        .into_response())
}

pub(super) async fn order_fault(
    State(cloud): State<Cloud>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let order: FaultOrder = parse_body(&body)?;
    let view = cloud.faults().order(order).map_err(|reason| ApiError::new(ErrorCode::InvalidInput, reason))?;
    Ok((StatusCode::CREATED, Json(json!({"fault": view}))))
}

pub(super) async fn list_faults(State(cloud): State<Cloud>) -> Json<Value> {
    Json(json!({"faults": cloud.faults().list()}))
}

pub(super) async fn clear_faults(State(cloud): State<Cloud>) -> StatusCode {
    cloud.faults().clear();
    StatusCode::NO_CONTENT
}

pub(super) async fn order_detour(State(cloud): State<Cloud>, body: Bytes) -> Result<StatusCode, ApiError> {
    cloud.order_detour(Some(parse_body(&body)?))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn clear_detour(State(cloud): State<Cloud>) -> Result<StatusCode, ApiError> {
    cloud.order_detour(None)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn requests(State(cloud): State<Cloud>) -> Answer {
    let entries = cloud.requests().entries();
    Ok(Json(json!({"requests": entries})))
}

fn machine(report: &MachineReport) -> Value {
    json!({
        "id": report.server.id,
        "name": report.server.name,
        "project": report.server.project.as_str(),
        "status": report.server.status.as_str(),
        "driver": report.driver,
        "isolation": report.isolation,
        "pid": report.view.pid,
        "leader": report.inside.leader,
        "ipv4": report.server.slot.map(|slot| slot.v4()),
        "ipv6": report.server.slot.map(|slot| slot.v6()),
        "namespace": report.inside.namespace,
        "cloud_namespace": report.cloud_namespace,
        "restarts": report.view.restarts,
        "directory": report.directory,
    })
}

fn signal(name: &str) -> Option<Signal> {
    match name.strip_prefix("SIG").unwrap_or(name) {
        "KILL" => Some(Signal::KILL),
        "TERM" => Some(Signal::TERM),
        "INT" => Some(Signal::INT),
        "HUP" => Some(Signal::HUP),
        "QUIT" => Some(Signal::QUIT),
        "STOP" => Some(Signal::STOP),
        "CONT" => Some(Signal::CONT),
        _ => None,
    }
}
