//! Secrets are files in memory, and nowhere else.

use std::sync::Arc;

use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::params::SecretText;

use crate::support::machine::{Machine, container};
use crate::support::viewer::Viewer;

#[tokio::test]
async fn a_secret_is_a_file_for_the_workspaces_user_and_is_gone_with_the_stop() {
    let Some(mut machine) = Machine::start("secrets").await else { return };
    let workspace = WorkspaceId::from_entropy(rand::random());
    let mut secrets = WorkspaceSecrets::default();
    secrets.files.insert("TOKEN".into(), SecretText::new("sesame-1234".into()));
    let mut order = machine.order(workspace, &container());
    order.secrets = Some(Arc::new(secrets));
    order.has_secret_files = true;
    machine.engine.start(order).await.unwrap();

    let mut viewer = Viewer::open(&mut machine, workspace).await;
    let said = viewer.runs("cat /run/secrets/TOKEN; stat -c %a.%u /run/secrets/TOKEN; touch /run/secrets/x").await;
    assert!(said.contains("sesame-1234") && said.contains("400.1000") && said.contains("Read-only"), "{said}");
    assert!(!viewer.runs("env").await.contains("sesame"));
    let inspected = machine.engine_says(&["inspect", &Machine::container_name(workspace)]);
    assert!(!inspected.contains("sesame"));

    machine.engine.stop(workspace).await.unwrap();
    // The machine was restarted: nobody told this agent, and the files are gone.
    let mut order = machine.order(workspace, &container());
    order.secrets = None;
    order.has_secret_files = true;
    machine.engine.start(order).await.unwrap();
    machine.hears_notice("secrets are not on the machine").await;
    machine.engine.remove(workspace).await.unwrap();
}
