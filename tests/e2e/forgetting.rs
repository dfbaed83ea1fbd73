//! Nodes of suspended users: an admin's to delete, and to give up where the cloud does not delete the machine any more; and only then.

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::limits::{LimitView, LimitsView, SuspendedNodeView};
use ringfence_protocol::params::ForgetNodeParams;
use ringfence_protocol::problem::{ErrorCode, Problem};
use ringfence_protocol::routes;
use ringfence_protocol::state::{LimitMeasure, NodeState, WorkspaceState};
use ringfence_protocol::views::{AuditView, Page, UserView};
use serde_json::json;
use xtask::client::{Client, until};

use crate::world::{LIMIT, Setting, story};

#[tokio::test]
async fn an_admin_forgets_the_stuck_node_of_a_suspended_user_and_no_other() -> Result<()> {
    // A deletion is late at once.
    story(Setting::default().var("RINGFENCE_DESTROYING_SECS", 1), async |world| {
        let (ada, bob) = (world.person("ada").await?, world.person("bob").await?);
        let admin = Client::sign_in(world.stack.origin(), &world.stack.admin_sign_in_link().await?).await?;
        let (workspace, other) = (ada.running().await?, bob.running().await?);
        let (node, user) = (workspace.node.id, ada.client.me().await?.user.id);
        ensure!(forget(&admin, node).await? == Some(ErrorCode::Conflict), "it works");
        // The provider answers nothing about machines from now on.
        let away = json!({ "on": "get_server", "fault": "lose_answer_before_effect", "times": 1000 });
        world.cloud.order_with(away).await?;
        for (person, node) in [(&ada, node), (&bob, other.node.id)] {
            person.client.delete_node(node).await?;
            let stuck = async || Ok(person.client.node(node).await?.stuck);
            until("the deletion to be late", LIMIT, stuck).await?;
        }

        ensure!(stuck_nodes(&admin).await?.is_empty(), "their owners see them, and nobody else");
        ensure!(forget(&admin, node).await? == Some(ErrorCode::Conflict), "ada can do so herself");
        let suspended: UserView = admin.request(&routes::ADMIN_USER_SUSPEND, &[&user]).send().await?.json().await?;
        ensure!(suspended.id == user, "{suspended:?}");
        let listed = stuck_nodes(&admin).await?;
        let [seen] = listed.as_slice() else { anyhow::bail!("{listed:?}") };
        ensure!((seen.id, seen.user_id, seen.state) == (node, user, NodeState::Destroying), "{seen:?}");
        ensure!(seen.failure.as_deref() == Some("deleted") && seen.reason.contains("still trying"), "{seen:?}");

        // Bob is nobody's admin.
        let refused = bob.client.request(&routes::ADMIN_NODES_STUCK, &[]).send().await?;
        ensure!(refused.status() == StatusCode::FORBIDDEN, "{}", refused.status());
        ensure!(forget(&bob.client, node).await? == Some(ErrorCode::Forbidden), "bob may not");
        ensure!(forget(&admin, other.node.id).await? == Some(ErrorCode::Conflict), "bob is not suspended");
        ensure!(nodes_of(&admin, user).await? == "1", "it counts for as long as it is there");

        ensure!(forget(&admin, node).await?.is_none(), "it was not forgotten");
        ensure!(forget(&admin, node).await?.is_none(), "a repeat succeeds");
        ensure!(stuck_nodes(&admin).await?.is_empty(), "it is still listed");
        let rows = world.rows(&format!("SELECT state, failure FROM nodes WHERE id = '{node}'")).await?;
        ensure!(rows[0]["state"] == "gone" && rows[0]["failure"] == "forgotten", "{rows:?}");
        let rows = world.rows(&format!("SELECT state FROM workspaces WHERE id = '{}'", workspace.id)).await?;
        ensure!(rows[0]["state"] == WorkspaceState::Gone.as_str(), "{rows:?}");
        let rows = world.rows(&format!("SELECT slot FROM node_slots WHERE node_id = '{node}'")).await?;
        ensure!(rows.is_empty() && nodes_of(&admin, user).await? == "0", "its places are taken: {rows:?}");
        let audit: Page<AuditView> = admin.request(&routes::ADMIN_AUDIT, &[]).send().await?.json().await?;
        let acts: Vec<_> = audit.items.iter().filter(|act| act.action == "node.forget").collect();
        let [act] = acts.as_slice() else { anyhow::bail!("{acts:?}") };
        ensure!(act.subject == node.to_string(), "{act:?}");
        ensure!(act.actor == admin.me().await?.user.id.to_string(), "{act:?}");

        // The cloud is back: what was not forgotten goes, and what was is found by its account's sweep or by hand.
        world.cloud.forget_faults().await?;
        bob.client.delete_node(other.node.id).await?;
        bob.node_until(other.node.id, NodeState::Gone).await?;
        world.has_left(&ada);
        until("the machine that was forgotten to be deleted", LIMIT, async || {
            admin.request(&routes::ADMIN_SWEEP, &[]).query(&[("dry_run", "false")]).send().await?.error_for_status()?;
            Ok(world.stack.cloud_servers().await? == 0)
        })
        .await
    })
    .await
}

#[tokio::test]
async fn an_admin_deletes_the_node_of_a_suspended_user_and_no_other() -> Result<()> {
    story(Setting::default(), async |world| {
        let (ada, bob) = (world.person("ada").await?, world.person("bob").await?);
        let admin = Client::sign_in(world.stack.origin(), &world.stack.admin_sign_in_link().await?).await?;
        let (workspace, other) = (ada.running().await?, bob.running().await?);
        let (node, user) = (workspace.node.id, ada.client.me().await?.user.id);
        let delete = async |client: &Client, node: NodeId| {
            refused(client.request(&routes::ADMIN_NODE_DELETE, &[&node]).send().await?).await
        };
        ensure!(delete(&admin, node).await? == Some(ErrorCode::Conflict), "ada can do so herself");
        admin.request(&routes::ADMIN_USER_SUSPEND, &[&user]).send().await?.error_for_status()?;
        let listed = admin.request(&routes::ADMIN_NODES_SUSPENDED, &[]).send().await?.error_for_status()?;
        let listed = listed.json::<Page<SuspendedNodeView>>().await?.items;
        let [seen] = listed.as_slice() else { anyhow::bail!("{listed:?}") };
        ensure!((seen.id, seen.state, seen.stuck) == (node, NodeState::Ready, false), "{seen:?}");
        ensure!(delete(&bob.client, node).await? == Some(ErrorCode::Forbidden), "bob may not");
        ensure!(delete(&admin, other.node.id).await? == Some(ErrorCode::Conflict), "bob is not suspended");
        ensure!(delete(&admin, node).await?.is_none(), "it was not deleted");
        ensure!(delete(&admin, node).await?.is_none(), "a repeat succeeds");
        let gone = format!("SELECT state FROM nodes WHERE id = '{node}'");
        until("the node to be gone", LIMIT, async || Ok(world.rows(&gone).await?[0]["state"] == "gone")).await?;
        ensure!(world.stack.cloud_servers().await? == 1, "bob's is the one that is left");
        let told = world.rows(&format!("SELECT event_json FROM events WHERE node_id = '{node}'")).await?;
        ensure!(told.iter().any(|row| json!(row).to_string().contains("An admin has it deleted")), "{told:?}");
        world.has_left(&ada);
        Ok(())
    })
    .await
}

/// Asks as this client; what it was refused with.
async fn forget(client: &Client, node: NodeId) -> Result<Option<ErrorCode>> {
    let params = ForgetNodeParams { confirm: node.to_string() };
    let answer = client.request(&routes::ADMIN_NODE_FORGET, &[&node]).json(&params).send().await?;
    refused(answer).await
}

/// What a request was refused with.
async fn refused(answer: reqwest::Response) -> Result<Option<ErrorCode>> {
    let (status, body) = (answer.status(), answer.bytes().await?);
    if status == StatusCode::NO_CONTENT {
        return Ok(None);
    }
    let problem: Problem = serde_json::from_slice(&body).with_context(|| format!("{status}: {body:?}"))?;
    Ok(Some(problem.code))
}

async fn stuck_nodes(admin: &Client) -> Result<Vec<SuspendedNodeView>> {
    let answer = admin.request(&routes::ADMIN_NODES_STUCK, &[]).send().await?.error_for_status()?;
    Ok(answer.json::<Page<SuspendedNodeView>>().await?.items)
}

/// How many nodes count for a user.
async fn nodes_of(admin: &Client, user: ringfence_protocol::ids::UserId) -> Result<String> {
    let query = [("scope", "user".to_owned()), ("id", user.to_string())];
    let view: LimitsView = admin.query(&routes::ADMIN_LIMITS_GET, &query).await?;
    let nodes: Option<LimitView> = view.items.into_iter().find(|item| item.measure == LimitMeasure::Nodes);
    Ok(nodes.context("nodes are not counted")?.usage)
}
