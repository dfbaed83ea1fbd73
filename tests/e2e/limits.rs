//! Limits at the whole: many at once, money, and what admins set (I5).

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use reqwest::StatusCode;
use ringfence_protocol::limits::{
    LimitAmounts, LimitView, LimitsView, MembershipParams, QuotaItem, QuotaView, SetLimitsParams, TenantView,
};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::plan;
use ringfence_protocol::problem::{ErrorCode, Problem};
use ringfence_protocol::routes;
use ringfence_protocol::state::{Isolation, LimitMeasure, LimitScope, NodeState, QuotaKind, Role, WorkspaceState};
use ringfence_protocol::views::{Page, UserView, WorkspaceView};
use serde_json::json;
use xtask::client::Client;

use crate::world::{Person, Setting, World, story};

/// What came of asking for a workspace.
async fn ask(person: &Person, isolation: Isolation) -> Result<std::result::Result<WorkspaceView, Problem>> {
    let params = CreateWorkspaceParams {
        credential_id: Some(person.credential),
        isolation: Some(isolation),
        ..CreateWorkspaceParams::default()
    };
    let answer = person.client.request(&routes::WORKSPACE_CREATE, &[]).json(&params).send().await?;
    let (status, body) = (answer.status(), answer.bytes().await?);
    if status == StatusCode::ACCEPTED {
        return Ok(Ok(serde_json::from_slice(&body)?));
    }
    let problem: Problem = serde_json::from_slice(&body).with_context(|| format!("{status}: {body:?}"))?;
    ensure!(problem.status == status.as_u16(), "{status} and {problem:?}");
    Ok(Err(problem))
}

async fn admin(world: &World) -> Result<Client> {
    Client::sign_in(world.stack.origin(), &world.stack.admin_sign_in_link().await?).await
}

async fn set(admin: &Client, scope: LimitScope, id: Option<String>, limits: LimitAmounts) -> Result<LimitsView> {
    admin.send(&routes::ADMIN_LIMITS_SET, &[], &SetLimitsParams { scope, id, limits }).await
}

#[tokio::test]
async fn of_fifty_at_once_exactly_the_limit_is_admitted() -> Result<()> {
    let setting = Setting::default().var("RINGFENCE_LIMIT_TENANT_WORKSPACES", 4);
    story(setting, async |world| {
        let ada = world.person("ada").await?;
        let asked = join_all((0..50).map(|_| ask(&ada, Isolation::User))).await;
        let (mut admitted, mut refused) = (Vec::new(), Vec::new());
        for answer in asked {
            match answer? {
                Ok(workspace) => admitted.push(workspace),
                Err(problem) => refused.push(problem),
            }
        }
        ensure!(admitted.len() == 4, "{} were admitted", admitted.len());
        for problem in &refused {
            ensure!(problem.code == ErrorCode::LimitReached && problem.status == 429, "{problem:?}");
            let limit = problem.limit.as_ref().context("which limit?")?;
            let expected = (LimitScope::Tenant, LimitMeasure::Workspaces, Some("4"));
            ensure!((limit.scope, limit.measure, limit.limit.as_deref()) == expected, "{limit:?}");
            ensure!(problem.detail.contains("/api/admin/limits"), "it says how to raise it: {}", problem.detail);
        }
        let rows = world.rows("SELECT id FROM workspaces").await?;
        ensure!(rows.len() == 4, "{} rows were made", rows.len());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_admin_limits_one_user_by_money_and_raises_it_again() -> Result<()> {
    story(Setting::default(), async |world| {
        let (ada, bob, admin) = (world.person("ada").await?, world.person("bob").await?, admin(world).await?);
        let user = ada.client.me().await?.user.id.to_string();
        let amounts = LimitAmounts { cost_per_hour: Some("0.001".into()), ..LimitAmounts::default() };
        let view = set(&admin, LimitScope::User, Some(user.clone()), amounts.clone()).await?;
        ensure!(view.set.cost_per_hour.as_deref() == Some("0.001"), "{view:?}");
        let problem = ask(&ada, Isolation::User).await?.err().context("it was admitted")?;
        ensure!(problem.code == ErrorCode::BudgetReached && problem.status == 402, "{problem:?}");
        ask(&bob, Isolation::User).await?.ok().context("another user is not limited")?;

        set(&admin, LimitScope::User, Some(user), LimitAmounts::default()).await?;
        let workspace = ask(&ada, Isolation::User).await?.ok().context("the limit was raised")?;
        // Until its machine is made, the dearest one that may be made in its place counts.
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        let usage: Page<LimitView> = ada.client.request(&routes::USAGE, &[]).send().await?.json().await?;
        let hour = usage.items.iter().find(|item| item.measure == LimitMeasure::CostPerHour).context("no price")?;
        let price = &workspace.node.price_per_hour.amount;
        ensure!(hour.usage == *price && hour.limit.is_none(), "{hour:?} for {price}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_tenants_admin_sees_its_users_and_what_they_have() -> Result<()> {
    story(Setting::default(), async |world| {
        let (ada, bob, eve) = (world.person("ada").await?, world.person("bob").await?, world.person("eve").await?);
        let admin = admin(world).await?;
        let acme: TenantView = admin.send(&routes::ADMIN_TENANT_CREATE, &[], &json!({ "name": "Acme" })).await?;
        for (person, role) in [(&ada, Role::TenantAdmin), (&bob, Role::Member)] {
            let id = person.client.me().await?.user.id;
            let params = MembershipParams { tenant_id: acme.id, role };
            let view: UserView = admin.send(&routes::ADMIN_USER_MEMBERSHIP, &[&id], &params).await?;
            ensure!(view.tenant_id == acme.id && view.role == role, "{view:?}");
        }
        let theirs = ask(&bob, Isolation::User).await?.ok().context("bob's")?;
        let hidden = ask(&bob, Isolation::Ephemeral).await?.ok().context("bob's own")?;
        let others = ask(&eve, Isolation::User).await?.ok().context("eve's")?;
        let seen = async |client: &Client, endpoint| {
            let answer = client.request(endpoint, &[]).send().await?;
            Ok::<_, anyhow::Error>((answer.status(), answer.text().await?))
        };
        for (endpoint, id) in [
            (&routes::TENANT_NODES, theirs.node.id.to_string()),
            (&routes::TENANT_WORKSPACES, theirs.id.to_string()),
            (&routes::TENANT_USERS, bob.client.me().await?.user.id.to_string()),
        ] {
            let (status, text) = seen(&ada.client, endpoint).await?;
            ensure!(status == StatusCode::OK && text.contains(&id), "{}: {status} {text}", endpoint.path);
            for id in
                [hidden.id.to_string(), hidden.node.id.to_string(), others.id.to_string(), others.node.id.to_string()]
            {
                ensure!(!text.contains(&id), "{} shows {id}", endpoint.path);
            }
            ensure!(seen(&bob.client, endpoint).await?.0 == StatusCode::FORBIDDEN, "a member sees {}", endpoint.path);
        }
        let usage: Page<LimitView> = ada.client.request(&routes::TENANT_USAGE, &[]).send().await?.json().await?;
        let nodes = usage.items.iter().find(|item| item.measure == LimitMeasure::Nodes).context("no nodes")?;
        ensure!(nodes.usage == "2", "hers to count, not to see: {nodes:?}");
        // Seeing is all: another's things stay theirs.
        let answer = ada.client.request(&routes::WORKSPACE_GET, &[&theirs.id]).send().await?;
        ensure!(answer.status() == StatusCode::NOT_FOUND, "{}", answer.status());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_admin_sees_what_of_the_plan_the_day_has_used_grow_with_what_is_done() -> Result<()> {
    story(Setting::default(), async |world| {
        let (ada, admin) = (world.person("ada").await?, admin(world).await?);
        let refused = ada.client.request(&routes::ADMIN_QUOTA, &[]).send().await?;
        ensure!(refused.status() == StatusCode::FORBIDDEN, "{}", refused.status());
        let problem: Problem = serde_json::from_slice(&refused.bytes().await?)?;
        ensure!(problem.code == ErrorCode::Forbidden, "{problem:?}");

        let quota = async || -> Result<QuotaView> {
            Ok(admin.request(&routes::ADMIN_QUOTA, &[]).send().await?.error_for_status()?.json().await?)
        };
        let quiet = quota().await?;
        let limits: Vec<_> = quiet.items.iter().map(|item| (item.quota, item.limit)).collect();
        let plan = [
            (QuotaKind::Requests, plan::REQUESTS),
            (QuotaKind::ObjectRequests, plan::OBJECT_REQUESTS),
            (QuotaKind::RowsRead, plan::ROWS_READ),
            (QuotaKind::RowsWritten, plan::ROWS_WRITTEN),
            (QuotaKind::ObjectDuration, plan::OBJECT_GB_SECS),
            (QuotaKind::ObjectRowsWritten, plan::OBJECT_ROWS_WRITTEN),
        ];
        ensure!(limits == plan && quiet.idle_nodes_carried > 0, "{quiet:?}");
        ensure!(quiet.since_at.get() % 86_400_000 == 0, "the day begins at midnight UTC: {quiet:?}");

        // A machine, and with it events and acts.
        let workspace = ada.running().await?;
        let busy = quota().await?;
        if busy.since_at == quiet.since_at {
            rose(&quiet, &busy)?;
        }
        // What is gone has been used all the same, and its end was work too.
        ada.client.delete_node(workspace.node.id).await?;
        ada.node_until(workspace.node.id, NodeState::Gone).await?;
        let over = quota().await?;
        if over.since_at == busy.since_at {
            let least = |item: &QuotaItem| {
                busy.items.iter().any(|other| other.quota == item.quota && item.estimate >= other.estimate)
            };
            ensure!(over.items.iter().all(least), "{busy:?} then {over:?}");
        }
        // Requests that are refused are not in any row, and so not in the estimate: it says so.
        ensure!(over.how.contains("only read"), "{}", over.how);
        Ok(())
    })
    .await
}

/// Each estimate has grown by what a machine's life costs at least, and none has passed its limit.
fn rose(before: &QuotaView, after: &QuotaView) -> Result<()> {
    let costs = [
        plan::MACHINE_LIFE.requests,
        plan::MACHINE_LIFE.billed_object_requests(),
        plan::MACHINE_LIFE.rows_read,
        plan::MACHINE_LIFE.rows_written,
        // Of one machine it is less than one.
        0,
        plan::MACHINE_LIFE.object_rows_written,
    ];
    ensure!(before.items.len() == costs.len() && after.items.len() == costs.len(), "{after:?}");
    for ((less, more), cost) in before.items.iter().zip(&after.items).zip(costs) {
        ensure!(more.estimate >= less.estimate + cost, "{less:?} then {more:?}, of {cost}");
        ensure!(more.estimate <= more.limit, "{more:?}");
    }
    Ok(())
}
