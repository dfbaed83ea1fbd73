//! What can be ordered, where, and for how much.

use super::query::Parameters;
use super::{parse_id, views};
use crate::catalog::{IMAGES, LOCATIONS, SERVER_TYPES};
use crate::error::ApiError;
use axum::Json;
use axum::extract::Path;
use axum::http::Uri;
use serde_json::{Value, json};

type Answer = Result<Json<Value>, ApiError>;

pub(super) async fn server_types(uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let named = SERVER_TYPES.iter().filter(|kind| parameters.admits("name", kind.name));
    list(&parameters, "server_types", named.map(views::server_type).collect())
}

pub(super) async fn server_type(Path(id): Path<String>) -> Answer {
    let id = parse_id(&id, "server_type")?;
    one("server_type", SERVER_TYPES.iter().find(|kind| kind.id == id).map(views::server_type))
}

pub(super) async fn locations(uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let named = LOCATIONS.iter().filter(|location| parameters.admits("name", location.name));
    list(&parameters, "locations", named.map(views::location).collect())
}

pub(super) async fn location(Path(id): Path<String>) -> Answer {
    let id = parse_id(&id, "location")?;
    one("location", LOCATIONS.iter().find(|location| location.id == id).map(views::location))
}

pub(super) async fn datacenters(uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let named = LOCATIONS.iter().filter(|location| parameters.admits("name", location.datacenter.name));
    let Json(mut answer) = list(&parameters, "datacenters", named.map(views::datacenter).collect())?;
    answer["recommendation"] = json!(LOCATIONS[0].datacenter.id);
    Ok(Json(answer))
}

pub(super) async fn datacenter(Path(id): Path<String>) -> Answer {
    let id = parse_id(&id, "datacenter")?;
    one("datacenter", LOCATIONS.iter().find(|location| location.datacenter.id == id).map(views::datacenter))
}

pub(super) async fn images(uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let wanted = IMAGES.iter().filter(|image| {
        parameters.admits("name", image.name)
            && parameters.admits("architecture", image.architecture.as_str())
            && parameters.admits("type", image.kind.as_str())
            && parameters.admits("status", "available")
    });
    list(&parameters, "images", wanted.map(views::image).collect())
}

pub(super) async fn image(Path(id): Path<String>) -> Answer {
    let id = parse_id(&id, "image")?;
    one("image", IMAGES.iter().find(|image| image.id == id).map(views::image))
}

pub(super) async fn pricing() -> Json<Value> {
    Json(json!({"pricing": views::pricing()}))
}

fn list(parameters: &Parameters, name: &str, items: Vec<Value>) -> Answer {
    let (items, meta) = parameters.page(items)?;
    Ok(Json(json!({name: items, "meta": meta})))
}

fn one(name: &str, item: Option<Value>) -> Answer {
    let item = item.ok_or_else(|| ApiError::not_found(name))?;
    Ok(Json(json!({name: item})))
}
