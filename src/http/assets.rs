//! What the Worker serves of the static assets: the agent's binaries, and the API's description, which would take a fortieth of the
//! bundle's budget. What is not there is answered by the assets with the page itself, as pages want it; a machine or a program that
//! asks must be told that there is no such file.

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
/// Where the build puts the API's description, which is generated from the same types; a test keeps the two alike.
const OPENAPI: &str = "/openapi.json";

/// The router.
pub fn routes() -> Router<App> {
    Router::new().route("/agent-bin/{digest}/vm-agent", get(binary))
}

#[worker::send]
async fn binary(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    asset(&app, uri.path(), "agent").await
}

/// The API's description.
#[worker::send]
pub(super) async fn openapi(State(app): State<App>) -> Result<Response, Failure> {
    let mut answer = asset(&app, OPENAPI, "description").await?;
    // As every answer of the API, and unlike a file of the page.
    answer.headers_mut().remove(header::CACHE_CONTROL);
    Ok(answer)
}

async fn asset(app: &App, path: &str, what: &str) -> Result<Response, Failure> {
    let unavailable = |_: worker::Error| Failure(Error::unavailable("assets"));
    let assets = app.host.env().assets(ASSETS_BINDING).map_err(unavailable)?;
    let answer = assets.fetch(format!("{ANY_HOST}{path}"), None).await.map_err(unavailable)?;
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    if kind.is_some_and(|kind| kind.starts_with(b"text/html")) {
        return Err(Failure(Error::not_found(what)));
    }
    Ok(answer.map(Body::new))
}
