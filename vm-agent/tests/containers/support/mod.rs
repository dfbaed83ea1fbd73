//! What the tests play: the machine with its Podman, the link task, a viewer.

pub(crate) mod machine;
pub(crate) mod node;
pub(crate) mod rootfs;
pub(crate) mod viewer;

use std::future::Future;
use std::time::Duration;

/// Longest wait for anything that should happen: far longer than it takes, so that only a fault runs into it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that should happen.
pub(crate) async fn soon<T>(what: &str, something: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, something).await {
        Ok(result) => result,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
