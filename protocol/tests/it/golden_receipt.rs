//! The receipt of an ephemeral workspace.

use ringfence_protocol::receipt::{MachineReceipt, ReceiptView, SavedView};
use ringfence_protocol::state::{ProviderKind, SaveOutcome};

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
            gone_at: at(905),
            cost: euros(1_650),
        },
    };
    pinned.json("ReceiptView", &view);
    let machine = MachineReceipt { provider_instance_id: None, ..view.machine.clone() };
    pinned.json("ReceiptView, of nothing", &ReceiptView { saved: None, machine, ..view });
    insta::assert_snapshot!(pinned.into_text());
}
