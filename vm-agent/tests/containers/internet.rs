//! Access to the internet: a network of its own, or no workspace where it would reach the machine.

use ringfence_protocol::state::{NetworkMode, WorkspaceFailure};

use crate::support::machine::{Machine, container};
use crate::support::skipped;
use crate::support::viewer::Viewer;

/// Makes a bridge and rules of the engine's in this network namespace: only where that is asked for.
const ALLOWED: &str = "RINGFENCE_TEST_NETWORKS";

#[tokio::test]
async fn internet_is_a_network_of_its_own_or_a_refusal_that_names_what_is_reached() {
    if std::env::var_os(ALLOWED).is_none() {
        return skipped(
            "internet",
            &format!("it makes networks; set {ALLOWED}=1 in a network namespace that may have them"),
        );
    }
    let Some(mut machine) = Machine::start("internet").await else { return };
    let mut container = container();
    container.network = NetworkMode::Internet;
    match machine.try_start(&container).await {
        Ok(workspace) => {
            for check in &machine.hears_posture().await.checks {
                println!("{:9} {:18} {}", check.outcome.as_str(), check.id, check.measured);
            }
            let other = machine.start_workspace(&container).await;
            let mut viewer = Viewer::open(&mut machine, workspace).await;
            let said = viewer.runs("cat /etc/resolv.conf; cut -d: -f1 /proc/net/dev | tail -n +3 | wc -l").await;
            assert!(said.contains("nameserver") && said.contains("\n2\r"), "{said}");
            println!("{said}");
            for workspace in [workspace, other] {
                machine.engine.remove(workspace).await.unwrap();
                assert_eq!(machine.traces(workspace), Vec::<String>::new());
            }
        }
        Err(error) => {
            assert_eq!(error.failure, WorkspaceFailure::EngineRefused);
            assert!(error.detail.contains("cannot be reached"), "{error}");
            println!("refused, as it must be without a firewall: {error}");
        }
    }
}
