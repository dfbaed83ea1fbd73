//! What every request to `/v1` passes: the token, the rate limit, ordered faults, the log.

use crate::clock::{now_ms, rfc3339};
use crate::cloud::{Cloud, Grant};
use crate::error::{ApiError, ErrorCode};
use crate::faults::{Mishap, Operation};
use crate::rate_limit::RateLimit;
use crate::request_log::RequestEntry;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

/// In a response's extensions: close the connection instead of sending it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerLost;

const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

pub(super) async fn pass(State(cloud): State<Cloud>, mut request: Request, next: Next) -> Response {
    let operation = operation(&request);
    let mut entry = RequestEntry {
        number: 0,
        at: rfc3339(now_ms()),
        operation,
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        status: None,
    };
    let response = match grant(&cloud, &request) {
        None => ApiError::new(ErrorCode::Unauthorized, "unable to authenticate").into_response(),
        Some(Grant { may_write: false, .. }) if request.method() != Method::GET => {
            ApiError::new(ErrorCode::TokenReadonly, "token is only allowed to perform GET requests").into_response()
        }
        Some(Grant { project, .. }) => {
            let limit = cloud.limiter().take(&project, Instant::now());
            request.extensions_mut().insert(project);
            let mut response = if limit.allowed { serve(&cloud, operation, request, next).await } else { too_many(1) };
            announce(&mut response, limit);
            response
        }
    };
    let lost = response.extensions().get::<AnswerLost>().is_some();
    entry.status = (!lost).then(|| response.status().as_u16());
    cloud.requests().add(entry);
    response
}

async fn serve(cloud: &Cloud, operation: Option<Operation>, request: Request, next: Next) -> Response {
    let mishap = operation.and_then(|operation| cloud.faults().strike(operation));
    match mishap {
        None => next.run(request).await,
        Some(Mishap::LoseAnswerBeforeEffect) => lose(StatusCode::BAD_GATEWAY.into_response()),
        Some(Mishap::LoseAnswerAfterEffect) => lose(next.run(request).await),
        Some(Mishap::RateLimited { retry_after_secs }) => too_many(retry_after_secs),
        Some(Mishap::ResourceUnavailable) => {
            ApiError::new(ErrorCode::ResourceUnavailable, "the requested resource is currently unavailable")
                .into_response()
        }
        Some(Mishap::Delay(time)) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
    }
}

fn grant(cloud: &Cloud, request: &Request) -> Option<Grant> {
    cloud.grant(bearer(request.headers())?)
}

/// The token of an `Authorization` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn lose(mut response: Response) -> Response {
    response.extensions_mut().insert(AnswerLost);
    response
}

fn too_many(retry_after_secs: u64) -> Response {
    let mut response =
        ApiError::new(ErrorCode::RateLimitExceeded, "limit of requests per hour reached").into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_secs));
    response
}

fn announce(response: &mut Response, limit: RateLimit) {
    let full_at_secs = now_ms() / 1000 + i64::try_from(limit.full_in.as_secs()).unwrap_or(0);
    let refused = response.status() == StatusCode::TOO_MANY_REQUESTS;
    let remaining = if refused { 0 } else { limit.remaining };
    let headers = response.headers_mut();
    headers.insert(RATE_LIMIT_LIMIT, HeaderValue::from(limit.limit));
    headers.insert(RATE_LIMIT_REMAINING, HeaderValue::from(remaining));
    headers.insert(RATE_LIMIT_RESET, HeaderValue::from(full_at_secs));
}

fn operation(request: &Request) -> Option<Operation> {
    let path = request.extensions().get::<MatchedPath>()?.as_str().to_owned();
    let method = request.method();
    let read = method == Method::GET || method == Method::HEAD;
    match path.as_str().strip_prefix("/v1")? {
        "/servers" if read => Some(Operation::ListServers),
        "/servers" if method == Method::POST => Some(Operation::CreateServer),
        "/servers/{id}" if read => Some(Operation::GetServer),
        "/servers/{id}" if method == Method::PUT => Some(Operation::UpdateServer),
        "/servers/{id}" if method == Method::DELETE => Some(Operation::DeleteServer),
        "/servers/{id}/actions/poweron" => Some(Operation::PowerOnServer),
        "/servers/{id}/actions/poweroff" => Some(Operation::PowerOffServer),
        "/servers/{id}/actions/shutdown" => Some(Operation::ShutdownServer),
        "/firewalls" if read => Some(Operation::ListFirewalls),
        "/firewalls" => Some(Operation::CreateFirewall),
        "/firewalls/{id}" if read => Some(Operation::GetFirewall),
        "/firewalls/{id}" => Some(Operation::DeleteFirewall),
        "/actions" | "/servers/actions" | "/servers/{id}/actions" => Some(Operation::ListActions),
        "/actions/{id}" | "/servers/actions/{id}" | "/servers/{id}/actions/{action_id}" => Some(Operation::GetAction),
        "/server_types" | "/server_types/{id}" => Some(Operation::ServerTypes),
        "/locations" | "/locations/{id}" => Some(Operation::Locations),
        "/datacenters" | "/datacenters/{id}" => Some(Operation::Datacenters),
        "/images" | "/images/{id}" => Some(Operation::Images),
        "/pricing" => Some(Operation::Pricing),
        _ => None,
    }
}
