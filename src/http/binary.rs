//! The agent's binaries. They are static assets, but what is not published is answered by the assets with the page itself, as pages
//! want it; a machine that asks must be told that there is no such file.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{Uri, header};

use super::App;
use super::problem::Failure;
use crate::error::Error;

/// Name of the assets' binding in wrangler.toml.
const ASSETS_BINDING: &str = "ASSETS";
/// The assets answer for whatever host they are asked.
const ANY_HOST: &str = "https://assets";

/// The router.
pub fn routes() -> Router<App> {
    Router::new().route("/agent-bin/{digest}/vm-agent", get(binary))
}

#[worker::send]
async fn binary(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let unavailable = |_: worker::Error| Failure(Error::unavailable("assets"));
    let assets = app.host.env().assets(ASSETS_BINDING).map_err(unavailable)?;
    let answer = assets.fetch(format!("{ANY_HOST}{}", uri.path()), None).await.map_err(unavailable)?;
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    if kind.is_some_and(|kind| kind.starts_with(b"text/html")) {
        return Err(Failure(Error::not_found("agent")));
    }
    Ok(answer.map(Body::new))
}
