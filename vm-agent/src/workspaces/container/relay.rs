//! The way from a container without a network to its filtering proxy: a listener inside, connections outside.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::create::PROXY_PORT;
use super::live::Task;
use super::netns;

/// Connections of one workspace at a time.
const MAX_CONNECTIONS: usize = 256;
const TRIES: usize = 50;
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Listens in the container's network namespace and passes everything on. Dropping it ends the listening.
pub(super) async fn start(pid: i32, proxy: SocketAddr) -> io::Result<Task> {
    let listener = TcpListener::from_std(listen(pid).await?)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    Ok(Task::spawn(async move {
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((inside, _)) => {
                    tokio::spawn(async move {
                        let _place = place;
                        let _ = pass_on(inside, proxy).await;
                    });
                }
                // Of one connection, or for want of descriptors: others come.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }))
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
