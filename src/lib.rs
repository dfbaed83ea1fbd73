//! Ringfence's control plane: entry points only.
//!
//! Dependencies go one way: `protocol ← domain ← (ports, store, provider) ← app ← (http, durable) ← lib.rs`. Only `http`,
//! `durable`, `cloudflare` and this file name the `worker` crate; a test keeps it so.

pub mod app;
pub mod cloudflare;
pub mod config;
pub mod domain;
pub mod durable;
pub mod error;
pub mod http;
pub mod ports;
pub mod provider;
pub mod store;

use worker::{Context, Env, HttpRequest, ScheduleContext, ScheduledEvent, event};

/// Runs once per isolate.
#[event(start)]
fn start() {
    durable::install_hook();
}

/// Answers a request.
#[event(fetch)]
async fn fetch(request: HttpRequest, env: Env, _: Context) -> worker::Result<::http::Response<axum::body::Body>> {
    Ok(http::answer(env, request).await)
}

/// The cron, once a minute: each duty by itself, so that one that fails keeps no other from running.
#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    durable::cron(env).await;
}
