//! What the tests play: the control plane, the machine, the viewers.

pub(crate) mod agent;
pub(crate) mod bench;
pub(crate) mod control_plane;
pub(crate) mod link;
pub(crate) mod screen;

use std::future::Future;
use std::time::Duration;

/// Longest wait for anything that should happen: far longer than it takes, so that only a fault runs into it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
