//! HTTP: one router for each kind of principal (I11), built from the route table that callers use too.
//!
//! A handler is authenticate (extractor) → parse (extractor) → one use case → view. Errors travel as a response extension
//! and become `application/problem+json` in one place, where they are also logged.

mod admin;
mod agent;
mod assets;
mod browser;
mod cookie;
mod extract;
mod gateway;
mod headers;
mod machine;
mod nodes;
mod origin;
mod problem;
mod public;
mod table;
mod tenant;
mod viewer;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::response::IntoResponse as _;
use http::{Request, Response};
use ringfence_protocol::ids::JwtId;
use tower::ServiceExt as _;

use crate::cloudflare::Host;
use crate::config::Config;
use crate::error::Error;
use crate::ports::{Clock, Entropy};

/// What handlers share: the platform of this request and the installation's configuration.
#[derive(Clone)]
pub struct App {
    /// The platform.
    pub host: Host,
    /// The configuration.
    pub config: Arc<Config>,
}

/// Every router, one for each principal.
fn router(app: App) -> Router {
    Router::new()
        .merge(public::routes())
        .merge(assets::routes())
        .merge(browser::routes())
        .merge(gateway::routes())
        .merge(tenant::routes())
        .merge(nodes::routes())
        .merge(admin::routes())
        .merge(viewer::routes())
        .merge(agent::routes())
        .merge(machine::routes())
        .fallback(async || problem::Failure(Error::not_found("page")))
        .method_not_allowed_fallback(async || problem::Failure(problem::method_not_allowed()))
        .with_state(app)
}

/// Answers one request, or says that the installation is not configured.
pub async fn answer(env: worker::Env, request: Request<worker::Body>) -> Response<axum::body::Body> {
    match crate::cloudflare::shared(&env) {
        Ok(config) => serve(App { host: Host::new(env), config }, request).await,
        Err(invalid) => {
            worker::console_error!("configuration: {}", invalid.0);
            let mut response = problem::Failure(Error::unavailable("configuration")).into_response();
            problem::fill_in(&mut response, "");
            headers::secure(response.headers_mut());
            response
        }
    }
}

/// Answers one request: routes it, fills in what every answer has, logs it once.
async fn serve(app: App, request: Request<worker::Body>) -> Response<axum::body::Body> {
    let started = app.host.now();
    let id: JwtId = app.host.id();
    let request_id = id.body().to_owned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let result = router(app.clone()).oneshot(request).await;
    let mut response = result.unwrap_or_else(|never| match never {});
    let failure = problem::fill_in(&mut response, &request_id);
    headers::secure(response.headers_mut());
    if path.starts_with("/agent/") {
        agent::offer_nonce(&app, response.headers_mut());
    }
    let usage = app.host.usage();
    let entry = LogEntry {
        message: "request",
        request_id: &request_id,
        method: method.as_str(),
        // Paths hold identifiers only: no secret is ever part of one (I14).
        path: &path,
        status: response.status().as_u16(),
        duration_ms: app.host.now().get() - started.get(),
        statements: usage.statements.load(Ordering::Relaxed),
        rows_read: usage.rows_read.load(Ordering::Relaxed),
        rows_written: usage.rows_written.load(Ordering::Relaxed),
        error_code: failure.as_ref().map(|error| error.code.as_str()),
        error_log: failure.as_ref().and_then(|error| error.log.as_deref()),
    };
    log(&entry);
    response
}

/// One line of the request log.
#[derive(serde::Serialize)]
struct LogEntry<'a> {
    message: &'a str,
    #[serde(rename = "request.id")]
    request_id: &'a str,
    #[serde(rename = "http.method")]
    method: &'a str,
    #[serde(rename = "url.path")]
    path: &'a str,
    #[serde(rename = "http.status")]
    status: u16,
    duration_ms: i64,
    #[serde(rename = "d1.statements")]
    statements: u64,
    #[serde(rename = "d1.rows_read")]
    rows_read: u64,
    #[serde(rename = "d1.rows_written")]
    rows_written: u64,
    #[serde(rename = "error.code", skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(rename = "error.log", skip_serializing_if = "Option::is_none")]
    error_log: Option<&'a str>,
}

/// Writes one structured line to the platform's log.
pub fn log(entry: &impl serde::Serialize) {
    if let Ok(line) = serde_json::to_string(entry) {
        worker::console_log!("{line}");
    }
}
