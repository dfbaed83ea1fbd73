//! What anybody may ask. Nothing here reaches the database without a cached answer or a MAC that holds.

use std::cell::RefCell;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::{HeaderValue, header};
use ringfence_protocol::claims::Jwks;
use ringfence_protocol::params::RedeemLinkParams;
use ringfence_protocol::routes::{self, Principal};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{MeView, ReadyView};

use super::extract::{Anyone, JsonBody, SameOrigin};
use super::problem::Failure;
use super::table::Table;
use super::{App, assets, cookie};
use crate::app::{ready, sessions, sign_in};
use crate::ports::Clock;

/// How long an answer of `/readyz` is kept, so that asking often does not read the database often.
const READY_CACHE_SECS: u64 = 10;

thread_local! {
    static READY: RefCell<Option<(UnixMillis, ReadyView)>> = const { RefCell::new(None) };
}

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::Public])
        .serve(&routes::HEALTHZ, async || "ok\n")
        .serve(&routes::READYZ, readyz)
        .serve(&routes::JWKS, jwks)
        .serve(&routes::OPENAPI, assets::openapi)
        .serve(&routes::AUTH_LINK, redeem_link)
        .build()
}

#[worker::send]
async fn readyz(State(app): State<App>) -> Response {
    let now = app.host.now();
    let cached = READY.with_borrow(|cached| match cached {
        Some((at, view)) if now.since(*at).as_secs() < READY_CACHE_SECS => Some(view.clone()),
        Some(_) | None => None,
    });
    let view = match cached {
        Some(view) => view,
        None => {
            let view = ready::check(&app.host, &app.config).await;
            READY.set(Some((now, view.clone())));
            view
        }
    };
    let status = if view.ready { http::StatusCode::OK } else { http::StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(view)).into_response()
}

async fn jwks(State(app): State<App>) -> impl IntoResponse {
    let keys: Jwks = app.config.keyring.jwks();
    ([(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"))], Json(keys))
}

#[worker::send]
async fn redeem_link(
    State(app): State<App>,
    // Although there is no cookie yet: else another site could sign a visitor in as somebody else.
    _: SameOrigin,
    Anyone(source): Anyone,
    body: JsonBody<RedeemLinkParams>,
) -> Result<Response, Failure> {
    let signed_in = sign_in::redeem_link(&app.host, &app.config, &body.params.token, source).await?;
    let cookie = cookie::set(&signed_in.cookie, app.host.now(), signed_in.caller.expires_at)?;
    let me: MeView = sessions::me(&app.config, &signed_in.caller);
    Ok(([(header::SET_COOKIE, cookie)], Json(me)).into_response())
}
