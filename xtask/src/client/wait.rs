//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::sleep;

/// Between two looks: short beside everything that is waited for.
const PAUSE: Duration = Duration::from_millis(40);

/// Looks again and again until there is something, or the limit is over; an error of the look ends it at once.
pub async fn until_some<T>(what: &str, limit: Duration, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if started.elapsed() > limit {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        sleep(PAUSE).await;
    }
}

/// Looks again and again until it is so, or the limit is over.
pub async fn until(what: &str, limit: Duration, look: impl AsyncFn() -> Result<bool>) -> Result<()> {
    until_some(what, limit, async || Ok(look().await?.then_some(()))).await
}
