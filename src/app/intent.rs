//! How a request changes a node or workspace: it writes what is wanted and moves the node's alarm forward. It calls no
//! provider and no agent; the node's object does, in its alarm.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;

use crate::domain::alarm::ARM_DELAY;
use crate::domain::lifecycle::Denied;
use crate::error::{Error, Result};
use crate::ports::Platform;

/// Arms the node's alarm, then writes, then has the alarm go off at once. Dying in between loses nothing: the alarm is set.
pub(super) async fn armed<T>(p: &impl Platform, node: NodeId, write: impl Future<Output = Result<T>>) -> Result<T> {
    p.wake(node, p.now() + ARM_DELAY).await?;
    written(p, node, write).await
}

/// The same for a write that moves the node's next deadline to `sooner`; without one the alarm that is set will do. An alarm that
/// comes at the deadline needs no waking afterwards.
pub(super) async fn armed_for<T>(
    p: &impl Platform,
    node: NodeId,
    sooner: Option<UnixMillis>,
    write: impl Future<Output = Result<T>>,
) -> Result<T> {
    match sooner {
        None => write.await,
        Some(deadline) if deadline <= p.now() + ARM_DELAY => armed(p, node, write).await,
        Some(deadline) => {
            p.wake(node, deadline).await?;
            write.await
        }
    }
}

/// The same for a node that does not exist yet: its object is placed near the region.
pub(super) async fn founded<T>(
    p: &impl Platform,
    node: NodeId,
    (provider, region): (ProviderKind, &str),
    write: impl Future<Output = Result<T>>,
) -> Result<T> {
    p.found(node, provider, region, p.now() + ARM_DELAY).await?;
    written(p, node, write).await
}

async fn written<T>(p: &impl Platform, node: NodeId, write: impl Future<Output = Result<T>>) -> Result<T> {
    let written = write.await?;
    // Only sooner than the alarm that is set: an object that cannot be reached for the moment will wake by itself.
    let _ = p.written(node).await;
    Ok(written)
}

/// What the caller is told when the state does not allow it.
pub(super) fn refusal(denied: Denied, what: &str) -> Error {
    match denied {
        Denied::Ending => Error::new(
            ErrorCode::Conflict,
            format!("The {what} is ending or has ended, and nothing brings it back. Nothing was changed."),
        ),
        Denied::TooEarly | Denied::Stale => Error::new(
            ErrorCode::Conflict,
            format!("The {what} is not ready for this yet. Nothing was changed; try again when it is."),
        ),
    }
}
