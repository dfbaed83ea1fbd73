//! What the holder of a gateway token may ask: how the one dedicated node is that the token names. No other credential opens
//! this, and the token opens nothing else (I11).

use axum::extract::{FromRequestParts, State};
use axum::{Json, Router};
use http::header;
use http::request::Parts;
use ringfence_protocol::gateway::GatewayNodeView;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::{self, Principal};

use super::App;
use super::problem::Failure;
use super::table::Table;
use crate::app::gateway;
use crate::error::Error;

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::Gateway]).serve(&routes::GATEWAY_NODE, get_node).build()
}

/// A bearer token, not yet verified.
struct Gateway(String);

impl FromRequestParts<App> for Gateway {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Failure> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let token = values.next().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match (token, values.next()) {
            (Some(token), None) => Ok(Self(token.to_owned())),
            (Some(_) | None, _) => {
                Err(Failure(Error::new(ErrorCode::TokenInvalid, "Send the gateway token as one Authorization header.")))
            }
        }
    }
}

#[worker::send]
async fn get_node(
    State(app): State<App>,
    Gateway(token): Gateway,
) -> std::result::Result<Json<GatewayNodeView>, Failure> {
    Ok(Json(gateway::node(&app.host, &app.config, &token).await?))
}
