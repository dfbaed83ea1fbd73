//! Actions: what takes time, and how far it is.

use super::query::Parameters;
use super::servers::server_id;
use super::{parse_id, views};
use crate::cloud::Cloud;
use crate::error::{ApiError, ErrorCode};
use crate::state::{Action, ActionId, ProjectId};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::cmp::Ordering;

type Answer = Result<Json<Value>, ApiError>;

/// Only actions named by `id`; listing them all ended at Hetzner in January 2025.
pub(super) async fn list_by_id(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    uri: Uri,
) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let wanted = parameters.all("id").map(|id| parse_id(id, "action").map(ActionId)).collect::<Result<Vec<_>, _>>()?;
    if wanted.is_empty() {
        return Err(ApiError::new(
            ErrorCode::DeprecatedApiEndpoint,
            "listing all actions is no longer possible; name them by id",
        ));
    }
    let mut actions = cloud.actions(&project);
    actions.retain(|action| wanted.contains(&action.id));
    let actions: Vec<Value> = actions.iter().map(views::action).collect();
    // As described, without pages: the ids bound it.
    Ok(Json(json!({"actions": actions})))
}

/// Those of all servers.
pub(super) async fn list_of_servers(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    uri: Uri,
) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let mut actions = cloud.actions(&project);
    actions.retain(|action| parameters.admits("id", &action.id.0.to_string()));
    answer(&parameters, actions)
}

pub(super) async fn list_of_server(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer {
    let server = cloud.server(&project, server_id(&id)?)?;
    let mut actions = cloud.actions(&project);
    actions.retain(|action| action.server == server.id);
    answer(&Parameters::of(&uri)?, actions)
}

pub(super) async fn get(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
) -> Answer {
    let id = ActionId(parse_id(&id, "action")?);
    one(cloud.actions(&project).into_iter().find(|action| action.id == id))
}

pub(super) async fn get_of_server(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path((server, id)): Path<(String, String)>,
) -> Answer {
    let server = server_id(&server)?;
    let id = ActionId(parse_id(&id, "action")?);
    one(cloud.actions(&project).into_iter().find(|action| action.id == id && action.server == server))
}

fn one(action: Option<Action>) -> Answer {
    let action = action.ok_or_else(|| ApiError::not_found("action"))?;
    Ok(Json(json!({"action": views::action(&action)})))
}

fn answer(parameters: &Parameters, mut actions: Vec<Action>) -> Answer {
    parameters.sort(&mut actions, compare)?;
    actions.retain(|action| parameters.admits("status", action.status.as_str()));
    let (actions, meta) = parameters.page(actions)?;
    let actions: Vec<Value> = actions.iter().map(views::action).collect();
    Ok(Json(json!({"actions": actions, "meta": meta})))
}

fn compare(field: &str, left: &Action, right: &Action) -> Option<Ordering> {
    match field {
        "id" => Some(left.id.cmp(&right.id)),
        "command" => Some(left.command.as_str().cmp(right.command.as_str())),
        "status" => Some(left.status.as_str().cmp(right.status.as_str())),
        "started" => Some(left.started_at_ms.cmp(&right.started_at_ms)),
        "finished" => Some(left.finished_at_ms.cmp(&right.finished_at_ms)),
        _ => None,
    }
}
