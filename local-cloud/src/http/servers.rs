//! `/v1/servers`.

use super::query::Parameters;
use super::{parse_id, views};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::labels::Selector;
use crate::order::{CreateServerBody, UpdateServerBody, parse_body};
use crate::state::{ProjectId, Server, ServerId};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::cmp::Ordering;

type Answer = Result<Json<Value>, ApiError>;
type Created = Result<(StatusCode, Json<Value>), ApiError>;

pub(super) async fn list(State(cloud): State<Cloud>, Extension(project): Extension<ProjectId>, uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let selector = Selector::parse(parameters.get("label_selector").unwrap_or_default())?;
    let mut servers = cloud.servers(&project);
    parameters.sort(&mut servers, compare)?;
    servers.retain(|server| {
        parameters.admits("name", &server.name)
            && parameters.admits("status", server.status.as_str())
            && selector.matches(&server.labels)
    });
    let (servers, meta) = parameters.page(servers)?;
    let servers: Vec<Value> = servers.iter().map(views::server).collect();
    Ok(Json(json!({"servers": servers, "meta": meta})))
}

pub(super) async fn get(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
) -> Answer {
    let server = cloud.server(&project, server_id(&id)?)?;
    Ok(Json(json!({"server": views::server(&server)})))
}

pub(super) async fn create(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    body: Bytes,
) -> Created {
    let order = parse_body::<CreateServerBody>(&body)?.check()?;
    let created = cloud.create_server(&project, order)?;
    let next_actions: Vec<Value> = created.next_actions.iter().map(views::action).collect();
    let answer = json!({
        "server": views::server(&created.server),
        "action": views::action(&created.action),
        "next_actions": next_actions,
        // No machine here has a password.
        "root_password": null,
    });
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn update(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let change = parse_body::<UpdateServerBody>(&body)?.check()?;
    let server = cloud.update_server(&project, server_id(&id)?, change.name, change.labels)?;
    Ok(Json(json!({"server": views::server(&server)})))
}

pub(super) async fn delete(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
) -> Answer {
    let action = cloud.delete_server(&project, server_id(&id)?)?;
    Ok(Json(json!({"action": views::action(&action)})))
}

pub(super) async fn power_on(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
) -> Created {
    let action = cloud.power_on(&project, server_id(&id)?)?;
    Ok((StatusCode::CREATED, Json(json!({"action": views::action(&action)}))))
}

pub(super) async fn power_off(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
) -> Created {
    let action = cloud.power_off(&project, server_id(&id)?)?;
    Ok((StatusCode::CREATED, Json(json!({"action": views::action(&action)}))))
}

pub(super) async fn shutdown(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
) -> Created {
    let action = cloud.shutdown(&project, server_id(&id)?).await?;
    Ok((StatusCode::CREATED, Json(json!({"action": views::action(&action)}))))
}

pub(super) fn server_id(text: &str) -> Result<ServerId, ApiError> {
    parse_id(text, "server").map(ServerId)
}

fn compare(field: &str, left: &Server, right: &Server) -> Option<Ordering> {
    match field {
        "id" => Some(left.id.cmp(&right.id)),
        "name" => Some(left.name.cmp(&right.name)),
        "created" => Some(left.created_at_ms.cmp(&right.created_at_ms)),
        _ => None,
    }
}
