//! How a terminal's task shares its thread.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use ringfence_protocol::ids::Id;
use tokio::io::{AsyncRead, ReadBuf, sink};
use tokio::sync::{mpsc, oneshot, watch};

use super::core::Core;
use super::task::{Command, Name, start};
use super::tty::{Source, Tty};
use crate::activity::Signs;

/// Has something to read at once, ten thousand times, and counts how often it was.
struct Flood(Arc<AtomicUsize>);

impl AsyncRead for Flood {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.0.fetch_add(1, Ordering::Relaxed) >= 10_000 {
            return Poll::Ready(Ok(()));
        }
        let bytes = buffer.remaining().min(4096);
        buffer.initialize_unfilled_to(bytes).fill(b'y');
        buffer.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_terminal_that_floods_lets_others_run_between_two_reads() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let reads = Arc::new(AtomicUsize::new(0));
        let (sizes, _) = watch::channel((80, 24));
        let (_running, exit) = oneshot::channel();
        let tty = Tty::remote(Flood(Arc::clone(&reads)), sink(), sizes, exit);
        let source = Source { tty: Box::pin(async { Ok(tty) }), end: None };
        let name = Name { workspace_id: Id::from_entropy([7; 13]), name: "main".into(), epoch: 1 };
        let (ended, _ends) = mpsc::unbounded_channel();
        let core = Core::new(1, false, (80, 24));
        let terminal = start(name, core, source, Arc::new(Signs::new(Instant::now())), ended);

        let mut most = 0;
        for _ in 0..200 {
            let before = reads.load(Ordering::Relaxed);
            tokio::task::yield_now().await;
            most = most.max(reads.load(Ordering::Relaxed) - before);
        }
        assert!(reads.load(Ordering::Relaxed) > 100, "it floods");
        assert!(most <= 2, "{} reads in a row", most);
        terminal.tell(Command::End(ringfence_protocol::link::CloseReason::WorkspaceEnded)).await;
        terminal.ended().await;
    });
}
