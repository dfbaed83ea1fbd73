//! The way from a container without a network to its filtering proxy: a listener inside, connections outside.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::create::PROXY_PORT;
use super::netns;
use crate::workspaces::task::Task;

/// Connections of one workspace at a time.
const MAX_CONNECTIONS: usize = 256;
/// Wait after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const TRIES: usize = 50;
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Listens in the container's network namespace and passes everything on. Dropping it ends the listening.
pub(super) async fn start(pid: i32, proxy: SocketAddr) -> io::Result<Task> {
    let listener = TcpListener::from_std(listen(pid).await?)?;
    Ok(Task::spawn(async move { serve(|| listener.accept(), proxy).await }))
}

async fn serve<A>(accept: impl Fn() -> A, proxy: SocketAddr)
where
    A: Future<Output = io::Result<(TcpStream, SocketAddr)>>,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match accept().await {
            Ok((inside, _)) => {
                tokio::spawn(async move {
                    let _place = place;
                    let _ = pass_on(inside, proxy).await;
                });
            }
            // Of one connection, or for want of descriptors, which no hurry gives back.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Waits a moment for a listener of before that is on its way out.
async fn listen(pid: i32) -> io::Result<StdListener> {
    let mut tries = TRIES;
    loop {
        let listener = netns::within(pid, || {
            let listener = StdListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        tries -= 1;
        match listener.await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => tokio::time::sleep(TRY_EVERY).await,
            done => return done,
        }
    }
}

async fn pass_on(mut inside: TcpStream, proxy: SocketAddr) -> io::Result<()> {
    let mut outside = TcpStream::connect(proxy).await?;
    tokio::io::copy_bidirectional(&mut inside, &mut outside).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_want_of_descriptors_is_waited_out() {
        let tries = Cell::new(0);
        let accept = || {
            tries.set(tries.get() + 1);
            assert!(tries.get() < 1000, "it spins");
            ready(Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())))
        };
        let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let served = tokio::time::timeout(Duration::from_secs(10), serve(accept, proxy)).await;
        assert!(served.is_err() && tries.get() > 10, "it goes on trying");
    }
}
