//! The socket. Our own accept loop, because a lost answer is a connection that closes without a byte: no HTTP framework offers that.

use super::gate::AnswerLost;
use crate::cloud::Cloud;
use anyhow::{Result, bail};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

const CONNECTIONS_MAX: usize = 1024;
/// After a failed accept (no file descriptors left): do not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket on loopback. Others are refused: a cloud without TLS that runs what it is given as this user must not be reachable.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        bail!("local-cloud listens on loopback only, not on {address}");
    }
    Ok(TcpListener::bind(address).await?)
}

/// Serves until `until` ends, then closes every connection and ends all machines.
pub async fn serve(cloud: Cloud, listener: TcpListener, until: impl Future<Output = ()>) {
    let app = super::app(cloud.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => break,
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    let app = app.clone();
                    connections.spawn(async move {
                        converse(stream, app).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
    cloud.close().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn converse(stream: TcpStream, app: Router) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(app.clone(), request));
    // Errors here are clients that went away, and the answers we lose on order.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Runs in a task of its own: as at a real cloud, a client that hangs up does not undo its request.
async fn answer(app: Router, request: hyper::Request<Incoming>) -> io::Result<Response> {
    let running = tokio::spawn(app.oneshot(request.map(Body::new)));
    let response = match running.await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panicked) => return Err(io::Error::other(panicked)),
    };
    if response.extensions().get::<AnswerLost>().is_some() {
        return Err(io::Error::other("answer lost on order"));
    }
    Ok(response)
}
