//! Limits and tenants.

use ringfence_protocol::limits::{
    BudgetAlertView, CreateTenantParams, LimitAmounts, LimitView, LimitsParams, LimitsView, MembershipParams,
    QuotaItem, QuotaView, SetLimitsParams, SuspendedNodeView, TenantNodeView, TenantView, TenantWorkspaceView,
};
use ringfence_protocol::state::{
    Isolation, LimitMeasure, LimitScope, NodeState, ProviderKind, QuotaKind, Role, WorkspaceState,
};

use crate::examples::{Pinned, at, euros, id};
use ringfence_protocol::ids::kind;

fn amounts() -> LimitAmounts {
    LimitAmounts {
        nodes: Some(3),
        workspaces: Some(9),
        ephemeral_workspaces: Some(2),
        cost_per_hour: Some("0.50".into()),
        cost_per_month: Some("20.00".into()),
    }
}

#[test]
fn limits_and_tenants_keep_their_form() {
    let mut pinned = Pinned::default();
    let view = LimitView {
        scope: LimitScope::User,
        measure: LimitMeasure::CostPerMonth,
        limit: Some("20.00".into()),
        usage: "1.25".into(),
    };
    pinned.json("LimitView", &view);
    pinned.json(
        "BudgetAlertView",
        &BudgetAlertView {
            scope: LimitScope::Tenant,
            id: Some(id::<kind::Tenant>(2).to_string()),
            percent: 80,
            spent: "16.20".into(),
            budget: "20.00".into(),
            at: at(60),
        },
    );
    pinned.json("LimitView, without a limit", &LimitView { limit: None, ..view.clone() });
    pinned.json("LimitAmounts", &amounts());
    pinned.json("LimitAmounts, none", &LimitAmounts::default());
    let user = Some(id::<kind::User>(1).to_string());
    pinned.json("LimitsParams", &LimitsParams { scope: LimitScope::User, id: user.clone() });
    pinned.json("SetLimitsParams", &SetLimitsParams { scope: LimitScope::Tenant, id: None, limits: amounts() });
    pinned.json(
        "LimitsView",
        &LimitsView { scope: LimitScope::User, id: user, set: LimitAmounts::default(), items: vec![view] },
    );
    pinned.json("TenantView", &TenantView { id: id(2), name: "Acme".into(), created_at: at(0) });
    pinned.json("CreateTenantParams", &CreateTenantParams { name: "Acme".into() });
    pinned.json("MembershipParams", &MembershipParams { tenant_id: id(2), role: Role::TenantAdmin });
    pinned.json(
        "TenantNodeView",
        &TenantNodeView {
            id: id(3),
            user_id: id(1),
            state: NodeState::Ready,
            isolation: Isolation::User,
            provider: ProviderKind::Hetzner,
            region: "fsn1".into(),
            size: "cx23".into(),
            price_per_hour: euros(6_600),
            cost_so_far: euros(13_200),
            created_at: at(0),
        },
    );
    pinned.json(
        "SuspendedNodeView",
        &SuspendedNodeView {
            id: id(3),
            user_id: id(1),
            state: NodeState::Destroying,
            state_since_at: at(0),
            failure: Some("deleted".into()),
            reason: "The provider refuses the credential.".into(),
            stuck: true,
        },
    );
    pinned.json(
        "TenantWorkspaceView",
        &TenantWorkspaceView {
            id: id(4),
            user_id: id(1),
            node_id: id(3),
            name: "quiet-otter".into(),
            state: WorkspaceState::Running,
            created_at: at(0),
        },
    );
    pinned.json(
        "QuotaView",
        &QuotaView {
            since_at: at(0),
            items: vec![QuotaItem { quota: QuotaKind::RowsWritten, limit: 100_000, estimate: 1_234 }],
            how: "Estimated.".into(),
            idle_nodes_carried: 2_000,
        },
    );
    insta::assert_snapshot!(pinned.into_text());
}
