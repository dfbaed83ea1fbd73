//! What the tests play: the machine with its Podman, the link task, a viewer.

pub(crate) mod machine;
pub(crate) mod node;
pub(crate) mod rootfs;
pub(crate) mod viewer;

use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

/// Longest wait for anything that should happen: far longer than it takes, so that only a fault runs into it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Set where everything that these tests want must be there: on a machine of ours.
const NO_SKIPS: &str = "RINGFENCE_TEST_NO_SKIPS";
/// Names the file that skipped tests are noted in.
const SKIPPED: &str = "RINGFENCE_SKIPPED_TESTS";

/// Says that a test is not made, and why.
pub(crate) fn skipped(test: &str, why: &str) {
    assert!(std::env::var_os(NO_SKIPS).is_none(), "{test} must not be skipped: {why}");
    println!("SKIPPED {test}: {why}");
    let Some(file) = std::env::var_os(SKIPPED) else { return };
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{test}: {why}\n").as_bytes()).unwrap();
}

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
