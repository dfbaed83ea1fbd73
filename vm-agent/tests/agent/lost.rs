//! What a node makes of its workspaces by itself: on a machine that has lost its firewall, and when something newer is asked meanwhile.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{ControlMessage, WorkspacePhase};

use crate::support::bench::Bench;

#[tokio::test]
async fn nothing_runs_on_a_machine_without_a_firewall_nor_is_started_there() {
    let mut bench = Bench::new().await;
    let ids = [[1; 13], [2; 13]].map(WorkspaceId::from_entropy);
    for id in ids {
        bench.ensure(id, 1).await;
        assert_eq!(bench.report().await.phase, WorkspacePhase::Running);
    }
    bench.node.give_up("The firewall is gone.".into());
    let mut stopped = Vec::new();
    for _ in ids {
        let report = bench.report().await;
        let detail = report.detail.unwrap();
        assert_eq!(report.phase, WorkspacePhase::Failed);
        assert!(detail.contains("stopped at once") && detail.ends_with("The firewall is gone."), "{detail}");
        stopped.push(report.workspace_id);
    }
    stopped.sort_unstable();
    assert_eq!(stopped, ids);
    bench.ensure(ids[0], 2).await;
    let report = bench.report().await;
    assert_eq!((report.spec_generation, report.phase), (2, WorkspacePhase::Failed));
    bench.node.handle_message(ControlMessage::RemoveWorkspace { workspace_id: ids[0], spec_generation: 3 }).await;
    assert_eq!(bench.report().await.phase, WorkspacePhase::Absent);
}

#[tokio::test]
async fn what_was_asked_last_is_made_so_whatever_was_under_way() {
    let mut bench = Bench::new().await;
    let id = WorkspaceId::from_entropy([1; 13]);
    bench.ensure(id, 1).await;
    bench.ensure_stopped(id, 2).await;
    let report = bench.report().await;
    assert_eq!((report.spec_generation, report.phase), (2, WorkspacePhase::Stopped));
    bench.ensure_stopped(id, 3).await;
    bench.ensure(id, 4).await;
    let report = bench.report().await;
    assert_eq!((report.spec_generation, report.phase), (4, WorkspacePhase::Running));
}
