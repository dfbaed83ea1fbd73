//! Doing something in a container's network namespace: in a thread of its own, so that nothing else of the agent ever is there.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

/// Runs `work` in the network namespace of a process. Sockets that it makes stay in there, whoever uses them.
pub(super) async fn within<T: Send + 'static>(
    pid: i32,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, result) = oneshot::channel();
    std::thread::Builder::new().name("netns".into()).spawn(move || {
        let done = File::open(format!("/proc/{pid}/ns/net")).and_then(|namespace| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        });
        // Nobody waits any more.
        let _ = sender.send(done);
    })?;
    result.await.map_err(|_| io::Error::other("the thread in the network namespace ended"))?
}
