//! Many at once: no node ever holds two users, no place is given twice (I1, I3).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures_util::future::{join_all, try_join_all};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::routes;
use ringfence_protocol::state::WorkspaceState;
use ringfence_protocol::views::WorkspaceView;
use serde_json::{Value, json};

use crate::world::{Person, Setting, World, story};

/// Creations of each of the two users.
const EACH: usize = 25;
/// Those that one user has under way at the same time.
const AT_ONCE: usize = 3;
/// Who want the last place.
const RACERS: usize = 50;
/// More than a node without capacity asks for: its size first, then others, then again.
const TRIES: usize = 20;
/// So that a run that fails can be looked at again.
const SEED: u64 = 50;

const OWNERS: &str = "SELECT w.id, w.user_id AS workspace_user, n.user_id AS node_user, n.id AS node
    FROM workspaces w JOIN nodes n ON n.id = w.node_id";
const PLACES: &str = "SELECT s.node_id, s.user_id AS place_user, n.user_id AS node_user, COUNT(*) AS taken, n.slots
    FROM node_slots s JOIN nodes n ON n.id = s.node_id GROUP BY s.node_id, s.user_id";

#[tokio::test]
async fn two_users_never_share_a_node() -> Result<()> {
    story(Setting::default(), async |world| {
        let (ada, bob) = (world.person("ada").await?, world.person("bob").await?);
        let creators = (0..AT_ONCE as u64).flat_map(|lane| [(&ada, 2 * lane), (&bob, 2 * lane + 1)]);
        let lanes = creators.map(|(person, lane)| create_and_delete(person, lane));
        let created: usize = try_join_all(lanes).await?.into_iter().sum();
        ensure!(created >= 2 * EACH, "{created} workspaces were made");
        rows_have_one_owner_a_node(world).await?;
        agents_know_one_user_each(world).await?;
        for person in [&ada, &bob] {
            for node in person.client.nodes().await? {
                person.client.delete_node(node.id).await?;
            }
        }
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn of_fifty_who_want_the_last_place_one_gets_it() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let first = ada.running().await?;
        let second = ada.running().await?;
        ensure!(first.node.id == second.node.id, "the second shares the first one's node");
        // The others' machines matter to nobody: that they are asked for is enough.
        world
            .cloud
            .order_with(json!({ "on": "create_server", "fault": "resource_unavailable", "times": TRIES * RACERS }))
            .await?;
        let made = try_join_all((0..RACERS).map(|_| ada.create())).await?;
        let winners = made.iter().filter(|workspace| workspace.node.id == first.node.id).count();
        ensure!(winners == 1, "{winners} of {RACERS} were placed on the one free place");
        let elsewhere: BTreeSet<NodeId> = made.iter().map(|workspace| workspace.node.id).collect();
        ensure!(elsewhere.len() == RACERS, "each of the others has a node of its own");
        places_are_within_bounds(world).await?;
        let node = ada.client.node(first.node.id).await?;
        ensure!(node.workspaces.len() == 3 && node.slots == 3, "the node is full: {:?}", node.workspaces);
        for workspace in &made {
            let expected =
                if workspace.node.id == first.node.id { WorkspaceState::Running } else { WorkspaceState::Failed };
            ada.workspace_until(workspace.id, expected).await?;
        }
        ada.client.delete_node(first.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn places_on_a_node_that_is_being_deleted_are_nobodys() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let first = ada.running().await?;
        world.cloud.order_with(json!({ "on": "create_server", "fault": "resource_unavailable", "times": 100 })).await?;
        let claims = join_all((0..10).map(|_| ada.create()));
        let (deleted, made) = tokio::join!(ada.client.delete_node(first.node.id), claims);
        deleted?;
        // One that came before the deletion went with the node; one that came after found no other.
        for workspace in made {
            ada.workspace_ended(workspace?.id).await?;
        }
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn the_same_request_twenty_times_at_once_makes_one_workspace() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let params = CreateWorkspaceParams { credential_id: Some(ada.credential), ..CreateWorkspaceParams::default() };
        let send = async || {
            let request = ada.client.request(&routes::WORKSPACE_CREATE, &[]).header("idempotency-key", "once");
            let answer = request.json(&params).send().await?.error_for_status()?;
            Ok::<WorkspaceView, anyhow::Error>(serde_json::from_slice(&answer.bytes().await?)?)
        };
        let made = try_join_all((0..20).map(|_| send())).await?;
        let ids: BTreeSet<WorkspaceId> = made.iter().map(|workspace| workspace.id).collect();
        ensure!(ids.len() == 1, "{} workspaces were made", ids.len());
        ada.workspace_until(made[0].id, WorkspaceState::Running).await?;
        ensure!(world.cloud.machines().await?.len() == 1, "one machine");
        ada.client.delete_node(made[0].node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

/// One of a user's lanes: creates, sees it run, deletes it or not, and so on. Returns how many were created.
async fn create_and_delete(person: &Person, lane: u64) -> Result<usize> {
    let mut random = StdRng::seed_from_u64(SEED + lane);
    let share = EACH.div_ceil(AT_ONCE);
    for _ in 0..share {
        let workspace = person.create().await?;
        // Most are seen running; some are deleted on their way.
        if random.random_ratio(4, 5) {
            person.workspace_until(workspace.id, WorkspaceState::Running).await?;
        }
        if random.random_ratio(2, 3) {
            person.client.delete_workspace(workspace.id).await?;
        }
    }
    Ok(share)
}

async fn rows_have_one_owner_a_node(world: &World) -> Result<()> {
    let rows = world.rows(OWNERS).await?;
    ensure!(rows.len() >= 2 * EACH, "every workspace has a row, also those that are gone");
    let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in &rows {
        ensure!(row["workspace_user"] == row["node_user"], "a workspace on another user's node: {row:?}");
        owners.entry(text(&row["node"])).or_default().insert(text(&row["workspace_user"]));
    }
    ensure!(owners.values().all(|users| users.len() == 1), "a node has had two users: {owners:?}");
    places_are_within_bounds(world).await
}

async fn places_are_within_bounds(world: &World) -> Result<()> {
    for row in world.rows(PLACES).await? {
        ensure!(row["place_user"] == row["node_user"], "a place of another user: {row:?}");
        ensure!(row["taken"].as_i64() <= row["slots"].as_i64(), "more places taken than there are: {row:?}");
    }
    Ok(())
}

/// What the machines themselves know of workspaces, whatever the rows say.
async fn agents_know_one_user_each(world: &World) -> Result<()> {
    let rows = world.rows(OWNERS).await?;
    let user_of: BTreeMap<String, String> =
        rows.iter().map(|row| (text(&row["id"]), text(&row["workspace_user"]))).collect();
    let machines = world.cloud.machines().await?;
    ensure!(machines.len() >= 2, "each of the users has a machine");
    for machine in machines {
        let known = workspaces_on(&machine.directory)?;
        ensure!(!known.is_empty(), "machine {} knows no workspace", machine.name);
        let users: Vec<&String> = known.iter().filter_map(|id| user_of.get(id)).collect();
        ensure!(users.len() == known.len(), "machine {} knows workspaces that have no row", machine.name);
        ensure!(users.windows(2).all(|pair| pair[0] == pair[1]), "machine {} has had two users", machine.name);
    }
    Ok(())
}

/// Every workspace that an agent's state directory names.
fn workspaces_on(machine: &Path) -> Result<BTreeSet<String>> {
    let state = machine.join("state");
    let table = fs::read_to_string(state.join("workspaces.json"))
        .with_context(|| format!("reading the agent's table in {}", state.display()))?;
    let mut known: BTreeSet<String> =
        table.split('"').filter(|word| word.starts_with("wsp_")).map(str::to_owned).collect();
    for home in fs::read_dir(state.join("workspaces"))? {
        known.insert(home?.file_name().to_string_lossy().into_owned());
    }
    Ok(known)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
