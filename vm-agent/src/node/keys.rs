//! The keys that verify viewers' tokens. When one is signed with a key that is not known, the control plane has rotated its keys
//! since the last grant: they are asked for again, once for all who wait and not often, whatever tokens arrive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_protocol::claims::Jwks;
use ringfence_protocol::link::OpenChannel;

use super::Node;
use crate::control_plane::CallError;
use crate::grant::Grant;

/// Keys are asked for at most this often.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// Viewers that may wait for keys.
const MAX_WAITING: usize = 32;

/// The answer to a question for keys.
pub struct Fetched(Result<Jwks, CallError>);

/// What is known of the keys beyond the grant.
#[derive(Default)]
pub(super) struct KeyFetches {
    newest: Option<(Jwks, Instant)>,
    asked_at: Option<Instant>,
    is_asking: bool,
    waiting: Vec<OpenChannel>,
}

impl KeyFetches {
    /// The keys that came last. They replace all before: a key that is no longer published is no longer good.
    pub(super) fn newest<'a>(&'a self, grant: &'a Grant) -> &'a Jwks {
        match &self.newest {
            Some((keys, at)) if *at > grant.received_at => keys,
            Some(_) | None => &grant.keys,
        }
    }

    /// Those who wait came over a link that is gone.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    /// Whether the viewer may wait for an answer, and whether to ask for it.
    fn admit(&mut self, open: &OpenChannel, now: Instant) -> Option<bool> {
        let asked_lately = self.asked_at.is_some_and(|asked| now.saturating_duration_since(asked) < AT_MOST_EVERY);
        if self.waiting.len() >= MAX_WAITING || (asked_lately && !self.is_asking) {
            return None;
        }
        self.waiting.push(open.clone());
        let asks = !self.is_asking;
        if asks {
            self.is_asking = true;
            self.asked_at = Some(now);
        }
        Some(asks)
    }
}

impl Node {
    /// Lets the viewer wait for newer keys; `false` when it cannot.
    pub(super) fn fetch_keys_for(&mut self, open: &OpenChannel) -> bool {
        let Some(asks) = self.key_fetches.admit(open, Instant::now()) else {
            return false;
        };
        if asks {
            let control_plane = Arc::clone(&self.constants.control_plane);
            let fetched = self.fetched_sender.clone();
            tokio::spawn(async move {
                let _ = fetched.send(Fetched(control_plane.public_keys().await));
            });
        }
        true
    }

    /// There are keys, or not: those who waited try again, and do not wait again.
    pub(super) async fn keys_fetched(&mut self, Fetched(answer): Fetched) {
        self.key_fetches.is_asking = false;
        match answer {
            Ok(keys) => self.key_fetches.newest = Some((keys, Instant::now())),
            Err(error) => tracing::warn!(%error, "the control plane's keys are not to be had"),
        }
        for open in std::mem::take(&mut self.key_fetches.waiting) {
            self.open_channel(open).await;
        }
    }
}
