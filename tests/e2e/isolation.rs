//! Isolation modes at the whole: ephemeral machines end with a receipt and are nobody else's to see; a user has one dedicated one,
//! and so many warm ones as they asked for.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use reqwest::StatusCode;
use ringfence_protocol::gateway::{GatewayNodeView, GatewayTokenView};
use ringfence_protocol::lifecycle::LifecycleView;
use ringfence_protocol::limits::{LimitAmounts, LimitView, MembershipParams, SetLimitsParams};
use ringfence_protocol::params::{CreateUserParams, CreateWorkspaceParams, CreateWorkspaceTokenParams};
use ringfence_protocol::receipt::ReceiptView;
use ringfence_protocol::routes::{self, Endpoint};
use ringfence_protocol::state::{Isolation, LimitMeasure, LimitScope, NodeState, Permission, Role, WorkspaceState};
use ringfence_protocol::sweeps::SweepParams;
use ringfence_protocol::views::{NodeView, Page, UserView, WorkspaceTokenView};
use ringfence_protocol::warm::{SetWarmPoolParams, WarmPoolView};
use xtask::client::{Client, until};

use crate::idleness::hook;
use crate::viewing::quiet_shell;
use crate::world::{LIMIT, Setting, World, story};

async fn admin(world: &World) -> Result<Client> {
    Client::sign_in(world.stack.origin(), &world.stack.admin_sign_in_link().await?).await
}

async fn status(client: &Client, endpoint: &'static Endpoint, id: &dyn std::fmt::Display) -> Result<StatusCode> {
    Ok(client.request(endpoint, &[id]).send().await?.status())
}

#[tokio::test]
async fn an_ephemeral_workspace_ends_with_a_receipt_and_nobody_else_ever_sees_it() -> Result<()> {
    story(Setting::default(), async |world| {
        let (ada, bob, admin) = (world.person("ada").await?, world.person("bob").await?, admin(world).await?);
        let params = CreateWorkspaceParams {
            name: Some("night-plans".into()),
            credential_id: Some(ada.credential),
            isolation: Some(Isolation::Ephemeral),
            max_duration_secs: Some(600),
            ..CreateWorkspaceParams::default()
        };
        let made = ada.client.create_workspace(&params).await?;
        ada.workspace_until(made.id, WorkspaceState::Running).await?;
        let node = ada.client.node(made.node.id).await?;
        let lives = node.hard_deadline_at.since(node.created_at).as_secs();
        ensure!((598..=602).contains(&lives), "it lives {lives} s at most");

        // Another of the same tenant, that tenant's admin, and the installation's: none of them sees it.
        let tenant = ada.client.me().await?.user.tenant_id;
        let id = bob.client.me().await?.user.id;
        let membership = MembershipParams { tenant_id: tenant, role: Role::TenantAdmin };
        admin.send::<UserView>(&routes::ADMIN_USER_MEMBERSHIP, &[&id], &membership).await?;
        let mate = CreateUserParams { name: "mate".into(), role: None, tenant_id: Some(tenant) };
        let mate: UserView = admin.send(&routes::ADMIN_USER_CREATE, &[], &mate).await?;
        let link = world.stack.sign_in_link(mate.id).await?;
        let mate = Client::sign_in(world.stack.origin(), &link).await?;
        for client in [&mate, &bob.client, &admin] {
            for endpoint in [
                &routes::WORKSPACE_GET,
                &routes::WORKSPACE_DELETE,
                &routes::WORKSPACE_POSTURE,
                &routes::WORKSPACE_RECEIPT,
                &routes::WORKSPACE_TOKEN,
                &routes::WORKSPACE_STOP,
            ] {
                let seen = status(client, endpoint, &made.id).await?;
                ensure!(seen == StatusCode::NOT_FOUND, "{}: {seen}", endpoint.path);
            }
            for endpoint in [&routes::NODE_GET, &routes::NODE_DELETE, &routes::NODE_DRAIN] {
                let seen = status(client, endpoint, &made.node.id).await?;
                ensure!(seen == StatusCode::NOT_FOUND, "{}: {seen}", endpoint.path);
            }
            for endpoint in
                [&routes::WORKSPACES_LIST, &routes::NODES_LIST, &routes::TENANT_NODES, &routes::TENANT_WORKSPACES]
            {
                let text = client.request(endpoint, &[]).send().await?.text().await?;
                let hidden = !text.contains(&made.id.to_string()) && !text.contains(&made.node.id.to_string());
                ensure!(hidden, "{} shows it", endpoint.path);
            }
        }
        // That it was made is in the log, by its id; what it is called is not.
        let log = admin.request(&routes::ADMIN_AUDIT, &[]).send().await?.text().await?;
        ensure!(log.contains(&made.id.to_string()) && !log.contains("night-plans"), "the audit log names it");
        let usage: Page<LimitView> = bob.client.request(&routes::TENANT_USAGE, &[]).send().await?.json().await?;
        let count = usage.items.iter().find(|item| item.measure == LimitMeasure::EphemeralWorkspaces);
        ensure!(count.is_some_and(|item| item.usage == "1"), "its number alone is told: {usage:?}");

        // A token says what it allows.
        let params = CreateWorkspaceTokenParams { permissions: Some(vec![Permission::TerminalRead]) };
        let token: WorkspaceTokenView = ada.client.send(&routes::WORKSPACE_TOKEN, &[&made.id], &params).await?;
        ensure!(token.permissions == [Permission::TerminalRead], "{:?}", token.permissions);

        ensure!(status(&ada.client, &routes::WORKSPACE_RECEIPT, &made.id).await? == StatusCode::CONFLICT, "not over");
        ada.client.delete_workspace(made.id).await?;
        ada.node_until(made.node.id, NodeState::Gone).await?;
        let receipt: ReceiptView = ada.client.call(&routes::WORKSPACE_RECEIPT, &[&made.id]).await?;
        let node = ada.client.node(made.node.id).await?;
        ensure!(receipt.machine.gone_at == Some(node.state_since_at), "{receipt:?}");
        ensure!(receipt.machine.provider_instance_id.is_some(), "the provider had it: {receipt:?}");
        ensure!(world.cloud.machines().await?.is_empty(), "nothing is left");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn dedicated_requests_at_once_land_on_one_machine() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let made = try_join_all((0..3).map(|_| ada.create_isolated(Isolation::Dedicated))).await?;
        ensure!(made.iter().all(|one| one.node.id == made[0].node.id), "one machine: {made:?}");
        for one in &made {
            ada.workspace_until(one.id, WorkspaceState::Running).await?;
        }
        ensure!(world.cloud.machines().await?.len() == 1, "one machine at the cloud");
        // Its gateway token opens one view of it, and is no key to anything else.
        let node = made[0].node.id;
        let token: GatewayTokenView = ada.client.call(&routes::NODE_GATEWAY_TOKEN, &[&node]).await?;
        let holder = Client::new(world.stack.origin()).with_api_token(&token.secret)?;
        let seen: GatewayNodeView = holder.call(&routes::GATEWAY_NODE, &[]).await?;
        ensure!(seen.id == node && seen.workspaces == 3, "{seen:?}");
        for endpoint in [&routes::ME, &routes::NODES_LIST, &routes::WORKSPACES_LIST, &routes::ADMIN_AUDIT] {
            let answer = holder.request(endpoint, &[]).send().await?.status();
            ensure!(answer == StatusCode::UNAUTHORIZED, "{}: {answer}", endpoint.path);
        }
        let next: GatewayTokenView = ada.client.call(&routes::NODE_GATEWAY_TOKEN, &[&node]).await?;
        let old = holder.request(&routes::GATEWAY_NODE, &[]).send().await?.status();
        ensure!(old == StatusCode::UNAUTHORIZED, "the one before: {old}");
        holder.with_api_token(&next.secret)?.call::<GatewayNodeView>(&routes::GATEWAY_NODE, &[]).await?;
        let fourth = ada.create_isolated(Isolation::Dedicated).await;
        ensure!(fourth.is_err(), "it is full, and there is no second one");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_machine_that_is_kept_warm_outlives_its_idle_time_and_takes_the_next_workspace() -> Result<()> {
    let setting = Setting::default().var("RINGFENCE_IDLE_TIMEOUT_SECS", 1);
    story(setting, async |world| {
        let ada = world.person("ada").await?;
        let pool = async || ada.client.call::<WarmPoolView>(&routes::WARM_POOL_GET, &[]).await;
        let ask = |minimum| SetWarmPoolParams { minimum, ..SetWarmPoolParams::default() };
        let asked: WarmPoolView = ada.client.send(&routes::WARM_POOL_SET, &[], &ask(1)).await?;
        ensure!(asked.minimum == 1 && asked.machine.is_some() && asked.problem.is_none(), "{asked:?}");
        // Nobody asks for it: the cron makes it.
        world.stack.run_cron("* * * * *").await?;
        until("one to be warm", LIMIT, async || Ok(pool().await?.warm == 1)).await?;
        let nodes: Page<NodeView> = ada.client.call(&routes::NODES_LIST, &[]).await?;
        ensure!(nodes.items.len() == 1, "{nodes:?}");
        let node = nodes.items[0].id;
        until("its idle time to be over, and it to be kept", LIMIT, async || {
            let view = ada.client.node(node).await?;
            ensure!(view.state == NodeState::Ready, "it is kept: {view:?}");
            Ok(view
                .deadline_at
                .zip(view.warm_since_at)
                .is_some_and(|(until, since)| until.since(since).as_secs() > 1800))
        })
        .await?;
        let life: LifecycleView = ada.client.call(&routes::NODE_LIFECYCLE, &[&node]).await?;
        ensure!(life.alive.as_ref().is_some_and(|alive| alive.because.contains("you keep a machine warm")), "{life:?}");
        let work = ada.running().await?;
        ensure!(work.node.id == node, "{}", work.placement_explanation);
        world.stack.run_cron("* * * * *").await?;
        until("another to be warm", LIMIT, async || Ok(pool().await?.warm == 1)).await?;
        ensure!(world.cloud.machines().await?.len() == 2, "one in its place");
        let asked: WarmPoolView = ada.client.send(&routes::WARM_POOL_SET, &[], &ask(0)).await?;
        ensure!(asked.minimum == 0 && asked.machine.is_none(), "{asked:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_spent_budget_ends_machines() -> Result<()> {
    let setting = Setting::default().var("RINGFENCE_BUDGET_GRACE_SECS", 5);
    story(setting, async |world| {
        let (ada, admin) = (world.person("ada").await?, admin(world).await?);
        let work = ada.running().await?;
        let mut terminal = quiet_shell(&ada, work.id).await?;
        hook(&mut terminal, "echo saved before the end").await?;
        let params = SetLimitsParams {
            scope: LimitScope::User,
            id: Some(ada.client.me().await?.user.id.to_string()),
            limits: LimitAmounts { cost_per_month: Some("0.000001".into()), ..LimitAmounts::default() },
        };
        admin.send::<serde_json::Value>(&routes::ADMIN_LIMITS_SET, &[], &params).await?;
        until("the machine to end", LIMIT, async || {
            let sweep = admin.request(&routes::ADMIN_SWEEP, &[]).query(&SweepParams { dry_run: None });
            sweep.send().await?.error_for_status()?;
            Ok(ada.client.node(work.node.id).await?.state == NodeState::Gone)
        })
        .await?;
        let node = ada.client.node(work.node.id).await?;
        ensure!(node.failure.as_deref() == Some("budget_spent"), "{node:?}");
        let events = ada.client.request(&routes::EVENTS, &[]).query(&[("after", "0")]).send().await?.text().await?;
        ensure!(events.contains("budget") && events.contains("Save what you need"), "it was told: {events}");
        ensure!(events.contains("saved before the end"), "its hook has not run: {events}");
        ensure!(ada.create().await.is_err(), "nothing more is made");
        Ok(())
    })
    .await
}
