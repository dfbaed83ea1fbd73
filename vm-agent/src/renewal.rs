//! Renews the callback token at half of its life, for ever.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::control_plane::ControlPlane;
use crate::grant::{self, Grant};

/// First wait after a failed renewal. Half a life, twelve hours, is left to succeed in.
const RETRY_FLOOR: Duration = Duration::from_secs(1);
/// Longest wait after a failed renewal.
const RETRY_CEILING: Duration = Duration::from_secs(300);
/// Renewals are spread over this share of the remaining time, so that nodes made together do not ask together.
const JITTER: f64 = 0.1;
/// A token is never renewed sooner than this after it came, whatever it says of its life.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// Keeps the grant fresh. Never returns.
pub async fn keep_fresh(
    control_plane: Arc<ControlPlane>,
    path: PathBuf,
    grants: Arc<watch::Sender<Grant>>,
) -> std::convert::Infallible {
    let mut retry = Backoff::new(RETRY_FLOOR, RETRY_CEILING);
    loop {
        let (token, renew_at) = {
            let grant = grants.borrow();
            (grant.token.clone(), grant.renew_at)
        };
        let wait = renew_at.saturating_duration_since(Instant::now());
        let early = wait.mul_f64(JITTER * rand::random::<f64>());
        tokio::time::sleep(wait.saturating_sub(early).max(AT_MOST_EVERY)).await;
        match control_plane.renew(&token).await {
            Ok(answer) => {
                if let Err(error) = grant::store(&path, &answer) {
                    // The old token on disk stays good for the other half of its life; the new one works from memory.
                    tracing::error!(%error, "cannot store the renewed callback token");
                }
                grants.send_replace(Grant::received(answer, Instant::now()));
                tracing::info!("callback token renewed");
                retry.reset();
            }
            Err(error) => {
                tracing::warn!(%error, "callback token not renewed");
                retry.pause().await;
            }
        }
    }
}
