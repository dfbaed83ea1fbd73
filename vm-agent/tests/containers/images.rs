//! Images that cannot be had, and why.

use ringfence_protocol::state::WorkspaceFailure;

use crate::support::machine::{Machine, container};

#[tokio::test]
async fn images_that_cannot_be_had_say_why() {
    let Some(machine) = Machine::start("images").await else { return };
    for (image, failure) in [
        ("169.254.169.254/latest/meta-data", WorkspaceFailure::RegistryForbidden),
        ("localhost:5000/x", WorkspaceFailure::RegistryForbidden),
        ("Not An Image", WorkspaceFailure::ImageNotFound),
        ("registry.invalid/x/y:1", WorkspaceFailure::PullFailed),
    ] {
        let mut container = container();
        container.image = image.into();
        let error = machine.try_start(&container).await.unwrap_err();
        assert_eq!(error.failure, failure, "{image}: {error}");
        assert!(error.detail.ends_with(['.', ')']), "{error}");
    }
}

#[tokio::test]
async fn an_image_from_elsewhere_than_the_installation_allows_is_refused_before_anything_is_asked() {
    let Some(machine) = Machine::start("registries").await else { return };
    let mut container = container();
    container.image_registries = vec!["docker.io/library".into()];
    let error = machine.try_start(&container).await.unwrap_err();
    assert_eq!(error.failure, WorkspaceFailure::RegistryForbidden, "{error}");
    container.image_registries.push("localhost".into());
    machine.start_workspace(&container).await;
}

#[tokio::test]
async fn a_quota_that_the_disk_cannot_keep_is_refused() {
    let Some(machine) = Machine::start("quota").await else { return };
    let mut container = container();
    container.disk_quota_bytes = 1 << 50;
    let error = machine.try_start(&container).await.unwrap_err();
    assert_eq!(error.failure, WorkspaceFailure::DiskFull, "{error}");
}
