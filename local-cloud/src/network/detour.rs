//! What becomes of requests on their way to the control plane, on command: a server that is down, a transfer that breaks, one that
//! waits.

use super::http::{Reply, text};
use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use serde::{Deserialize, Serialize};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;

/// So much of an answer arrives before its connection breaks.
const CUT_AFTER_BYTES: usize = 100_000;

/// The body of `POST /_detour`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Detour {
    /// What the paths begin with.
    pub path: String,
    /// What happens, to each request the next in turn.
    pub answers: Vec<Way>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// 503.
    Unavailable,
    /// It is answered, and the connection breaks in the middle of the body.
    Cut,
    /// It waits until there is no detour.
    Hold,
}

/// The detour that is ordered, if any, and how many requests have taken it.
#[derive(Clone, Debug)]
pub(crate) struct Detours(Arc<watch::Sender<Option<(Detour, usize)>>>);

impl Default for Detours {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Detours {
    /// Orders a detour in the place of any other, or none.
    pub(crate) fn order(&self, detour: Option<Detour>) {
        self.0.send_replace(detour.map(|detour| (detour, 0)));
    }

    /// What happens to the next request for a path.
    pub(super) fn next(&self, path: &str) -> Option<Way> {
        let mut way = None;
        self.0.send_if_modified(|ordered| {
            let Some((detour, taken)) = ordered else { return false };
            if path.starts_with(&detour.path) {
                way = detour.answers.get(*taken % detour.answers.len().max(1)).copied();
                *taken += 1;
            }
            false
        });
        way
    }

    /// Waits until there is none.
    pub(super) async fn ended(&self) {
        let _ = self.0.subscribe().wait_for(Option::is_none).await;
    }
}

pub(super) fn unavailable() -> Reply {
    text(StatusCode::SERVICE_UNAVAILABLE, "out of order\n".into())
}

/// The answer, of which only the beginning arrives.
pub(super) fn cut(reply: Reply) -> Reply {
    let (parts, body) = reply.into_parts();
    Response::from_parts(parts, Body::new(Cut { body, left: CUT_AFTER_BYTES }))
}

struct Cut {
    body: Body,
    left: usize,
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(Some(Err("cut on command".into())));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else { return Poll::Pending };
        let Some(frame) = frame else { return Poll::Ready(None) };
        Poll::Ready(Some(frame.map_err(Into::into).map(|frame| {
            frame.map_data(|mut data| {
                data.truncate(self.left);
                self.left -= data.len();
                data
            })
        })))
    }

    /// That of the whole: whoever asks is promised all of it.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_for_the_path_takes_the_next_way_in_turn() {
        let detours = Detours::default();
        assert_eq!(detours.next("/a/x"), None);
        detours.order(Some(Detour { path: "/a/".into(), answers: vec![Way::Cut, Way::Unavailable] }));
        let ways = ["/a/x", "/b", "/a/x", "/a/x"].map(|path| detours.next(path));
        assert_eq!(ways, [Some(Way::Cut), None, Some(Way::Unavailable), Some(Way::Cut)]);
        detours.order(Some(Detour { path: String::new(), answers: Vec::new() }));
        assert_eq!(detours.next("/a/x"), None);
        detours.order(None);
        assert_eq!(detours.next("/a/x"), None);
    }
}
