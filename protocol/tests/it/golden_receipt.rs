//! The receipt of an ephemeral workspace; the gateway token of a dedicated node; machines that are kept warm.

use ringfence_protocol::gateway::{GatewayNodeView, GatewayTokenView};
use ringfence_protocol::params::SecretText;
use ringfence_protocol::receipt::{MachineReceipt, ReceiptView, SavedView};
use ringfence_protocol::state::{NodeHealth, NodeState, ProviderKind, SaveOutcome};
use ringfence_protocol::warm::{SetWarmPoolParams, WarmMachineView, WarmPoolView};

use crate::examples::{Pinned, at, euros, id};

#[test]
fn receipts_keep_their_form() {
    let mut pinned = Pinned::default();
    let view = ReceiptView {
        workspace_id: id(4),
        name: "quiet-otter".into(),
        created_at: at(0),
        ended_at: at(900),
        reason: "No machine is left. Its longest life was over.".into(),
        saved: Some(SavedView {
            at: at(899),
            outcome: SaveOutcome::Saved,
            output: "pushed 4f2528e".into(),
            output_sha256: "00".repeat(32),
        }),
        machine: MachineReceipt {
            node_id: id(3),
            provider: ProviderKind::Hetzner,
            region: "fsn1".into(),
            size: "cx23".into(),
            provider_instance_id: Some("42".into()),
            gone_at: Some(at(905)),
            cost: euros(1_650),
        },
    };
    pinned.json("ReceiptView", &view);
    let machine = MachineReceipt { provider_instance_id: None, ..view.machine.clone() };
    pinned.json("ReceiptView, of nothing", &ReceiptView { saved: None, machine, ..view });
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn gateway_tokens_keep_their_form() {
    let mut pinned = Pinned::default();
    let secret = SecretText::new("rfg_s3cret".into());
    pinned.json("GatewayTokenView", &GatewayTokenView { id: id(10), secret, created_at: at(0) });
    pinned.json(
        "GatewayNodeView",
        &GatewayNodeView {
            id: id(3),
            state: NodeState::Ready,
            state_since_at: at(0),
            health: NodeHealth::Connected,
            reason: "Takes workspaces.".into(),
            workspaces: 1,
            slots: 3,
            hard_deadline_at: at(86_400),
        },
    );
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn warm_pools_keep_their_form() {
    let mut pinned = Pinned::default();
    let (region, size) = (Some("fsn1".into()), Some("cx23".into()));
    pinned.json("SetWarmPoolParams", &SetWarmPoolParams { minimum: 2, credential_id: Some(id(5)), region, size });
    pinned.json("SetWarmPoolParams, of none", &SetWarmPoolParams::default());
    let view = WarmPoolView {
        minimum: 2,
        machine: Some(WarmMachineView {
            credential_id: id(5),
            region: "fsn1".into(),
            size: "cx23".into(),
            price_per_hour: euros(6_600),
        }),
        warm: 1,
        being_made: 0,
        problem: Some("Your limit for machines is 1, and 1 is used.".into()),
        next_try_at: Some(at(600)),
        set_at: Some(at(0)),
    };
    pinned.json("WarmPoolView", &view);
    pinned.json(
        "WarmPoolView, of none",
        &WarmPoolView { minimum: 0, machine: None, warm: 0, problem: None, next_try_at: None, set_at: None, ..view },
    );
    insta::assert_snapshot!(pinned.into_text());
}
