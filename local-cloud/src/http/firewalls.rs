//! `/v1/firewalls`.

use super::parse_id;
use super::query::Parameters;
use crate::clock::rfc3339;
use crate::cloud::{Cloud, FirewallReport};
use crate::error::ApiError;
use crate::firewalls::{CreateFirewallBody, FirewallId};
use crate::labels::Selector;
use crate::order::parse_body;
use crate::state::ProjectId;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::cmp::Ordering;

type Answer = Result<Json<Value>, ApiError>;

pub(super) async fn list(State(cloud): State<Cloud>, Extension(project): Extension<ProjectId>, uri: Uri) -> Answer {
    let parameters = Parameters::of(&uri)?;
    let selector = Selector::parse(parameters.get("label_selector").unwrap_or_default())?;
    let mut firewalls = cloud.firewalls(&project);
    parameters.sort(&mut firewalls, compare)?;
    firewalls
        .retain(|report| parameters.admits("name", &report.firewall.name) && selector.matches(&report.firewall.labels));
    let (firewalls, meta) = parameters.page(firewalls)?;
    let firewalls: Vec<Value> = firewalls.iter().map(view).collect();
    Ok(Json(json!({"firewalls": firewalls, "meta": meta})))
}

pub(super) async fn get(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
) -> Answer {
    let report = cloud.firewall(&project, firewall_id(&id)?)?;
    Ok(Json(json!({"firewall": view(&report)})))
}

pub(super) async fn create(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let order = parse_body::<CreateFirewallBody>(&body)?.check()?;
    let report = cloud.create_firewall(&project, order)?;
    // Rules are in place at once, so there is no action to wait for.
    Ok((StatusCode::CREATED, Json(json!({"firewall": view(&report), "actions": []}))))
}

pub(super) async fn delete(
    State(cloud): State<Cloud>,
    Extension(project): Extension<ProjectId>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    cloud.delete_firewall(&project, firewall_id(&id)?)?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(report: &FirewallReport) -> Value {
    let applied_to: Vec<Value> =
        report.servers.iter().map(|server| json!({"type": "server", "server": {"id": server}})).collect();
    json!({
        "id": report.firewall.id,
        "name": report.firewall.name,
        "labels": report.firewall.labels,
        "created": rfc3339(report.firewall.created_at_ms),
        "rules": report.firewall.rules,
        "applied_to": applied_to,
    })
}

fn firewall_id(text: &str) -> Result<FirewallId, ApiError> {
    parse_id(text, "firewall").map(FirewallId)
}

fn compare(field: &str, left: &FirewallReport, right: &FirewallReport) -> Option<Ordering> {
    let (left, right) = (&left.firewall, &right.firewall);
    match field {
        "id" => Some(left.id.cmp(&right.id)),
        "name" => Some(left.name.cmp(&right.name)),
        "created" => Some(left.created_at_ms.cmp(&right.created_at_ms)),
        _ => None,
    }
}
