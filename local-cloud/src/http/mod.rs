//! The API as a table of routes.

mod actions;
mod catalog;
mod control;
mod firewalls;
mod gate;
mod query;
mod servers;
mod views;

pub(crate) mod server;

use crate::cloud::Cloud;
use crate::error::{ApiError, ErrorCode};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

/// The largest user-data, escaped as JSON, with room for the rest.
const BODY_MAX_BYTES: usize = 256 * 1024;

/// The routes of a cloud: Hetzner's under `/v1`, ours under `/_…`.
pub fn app(cloud: Cloud) -> Router {
    let hetzner = Router::new()
        .route("/v1/servers", get(servers::list).post(servers::create))
        .route("/v1/servers/{id}", get(servers::get).put(servers::update).delete(servers::delete))
        .route("/v1/servers/{id}/actions/poweron", post(servers::power_on))
        .route("/v1/servers/{id}/actions/poweroff", post(servers::power_off))
        .route("/v1/servers/{id}/actions/shutdown", post(servers::shutdown))
        .route("/v1/servers/{id}/actions", get(actions::list_of_server))
        .route("/v1/servers/{id}/actions/{action_id}", get(actions::get_of_server))
        .route("/v1/servers/actions", get(actions::list_of_servers))
        .route("/v1/servers/actions/{id}", get(actions::get))
        .route("/v1/firewalls", get(firewalls::list).post(firewalls::create))
        .route("/v1/firewalls/{id}", get(firewalls::get).delete(firewalls::delete))
        .route("/v1/actions", get(actions::list_by_id))
        .route("/v1/actions/{id}", get(actions::get))
        .route("/v1/server_types", get(catalog::server_types))
        .route("/v1/server_types/{id}", get(catalog::server_type))
        .route("/v1/locations", get(catalog::locations))
        .route("/v1/locations/{id}", get(catalog::location))
        .route("/v1/datacenters", get(catalog::datacenters))
        .route("/v1/datacenters/{id}", get(catalog::datacenter))
        .route("/v1/images", get(catalog::images))
        .route("/v1/images/{id}", get(catalog::image))
        .route("/v1/pricing", get(catalog::pricing))
        .route_layer(from_fn_with_state(cloud.clone(), gate::pass));
    let control = Router::new()
        .route("/_machines", get(control::machines))
        .route("/_machines/{id}/kill", post(control::kill))
        .route("/_machines/{id}/console", get(control::console))
        .route("/_machines/{id}/exec", post(control::exec))
        .route("/_cloud/exec", post(control::exec_outside))
        .route("/_faults", post(control::order_fault).get(control::list_faults).delete(control::clear_faults))
        .route("/_detour", post(control::order_detour).delete(control::clear_detour))
        .route("/_requests", get(control::requests))
        .route_layer(from_fn(control::only_from_here));
    hetzner
        .merge(control)
        .fallback(async || ApiError::not_found("endpoint"))
        .method_not_allowed_fallback(async || ApiError::new(ErrorCode::MethodNotAllowed, "method not allowed"))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(cloud)
}

/// An id that is not a number names nothing.
fn parse_id(text: &str, what: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(what))
}
