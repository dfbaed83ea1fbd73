//! The time that making a workspace may take, and that it may be called off.

use std::time::Duration;

use ringfence_protocol::link::{CREATING_MAX_SECS, REPORT_SECS};
use tokio::sync::watch;
use tokio::time::Instant;

use super::EngineError;

/// All of it: then there is still time to say why it failed before the control plane stops listening.
const WHOLE: Duration = Duration::from_secs(CREATING_MAX_SECS - REPORT_SECS);

/// Given to who makes a workspace.
#[derive(Debug, Clone)]
pub struct Span {
    ends: Instant,
    off: watch::Receiver<bool>,
}

/// Calls it off. Dropping it does not.
#[derive(Debug)]
pub struct CallOff(watch::Sender<bool>);

impl CallOff {
    /// What is waited for is waited for no more.
    pub fn call_off(&self) {
        self.0.send_replace(true);
    }
}

impl Span {
    /// Begins now.
    pub fn begin() -> (CallOff, Self) {
        let (sender, off) = watch::channel(false);
        (CallOff(sender), Self { ends: Instant::now() + WHOLE, off })
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// All of it, in words.
    pub fn whole() -> String {
        format!("{} minutes", WHOLE.as_secs() / 60)
    }

    /// Waits for work unless it is called off. What it has begun is to be cleaned up by who began it.
    pub async fn wait<T>(&self, work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
        let mut off = self.off.clone();
        let called_off = async {
            if off.wait_for(|off| *off).await.is_err() {
                // Nobody is left who could.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = called_off => Err(EngineError::refused("It was called off: something newer was asked of the workspace.")),
            outcome = work => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_called_off_is_waited_for_no_more_and_nothing_after_it() {
        let (call_off, span) = Span::begin();
        assert!(span.wait(ready(Ok(()))).await.is_ok());
        let waiting = span.wait(pending::<Result<(), EngineError>>());
        let (waited, ()) = tokio::join!(waiting, async { call_off.call_off() });
        assert!(waited.is_err());
        assert!(span.wait(ready(Ok(()))).await.is_err(), "the next step does not begin");
    }

    #[tokio::test(start_paused = true)]
    async fn who_could_call_it_off_may_be_gone() {
        let (call_off, span) = Span::begin();
        drop(call_off);
        let work = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(())
        };
        assert!(span.wait(work).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_gives_up_before_the_control_plane_does() {
        let (_call_off, span) = Span::begin();
        let first = span.left();
        assert!(first < Duration::from_secs(CREATING_MAX_SECS));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(first - span.left(), Duration::from_secs(600), "steps share what there is");
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(span.left(), Duration::ZERO);
        assert_eq!(Span::whole(), "14 minutes");
    }
}
