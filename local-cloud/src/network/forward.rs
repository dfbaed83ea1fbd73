//! From the gateway to the control plane on this computer: what Cloudflare's edge is to a real one.
//!
//! Like that edge it says in `CF-Connecting-IP` who asks, whatever the asker put there: the control plane compares it with the
//! machine's addresses. Every request goes over a connection of its own, so that none slips past unmarked.

use super::detour::{self, Detours, Way};
use super::http::{Reply, text};
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpStream;

const CONNECTING_IP: &str = "cf-connecting-ip";

/// Passes a request on to `port` on this computer's loopback, unless a detour is ordered for it.
pub(super) async fn pass(request: Request<Incoming>, from: SocketAddr, port: u16, detours: Detours) -> Reply {
    let way = detours.next(request.uri().path());
    match way {
        Some(Way::Unavailable) => return detour::unavailable(),
        Some(Way::Hold) => detours.ended().await,
        Some(Way::Cut) | None => {}
    }
    match try_pass(request, from, port).await {
        Ok(reply) if way == Some(Way::Cut) => detour::cut(reply),
        Ok(reply) => reply,
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("the control plane does not answer: {error}\n")),
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn try_pass(mut request: Request<Incoming>, from: SocketAddr, port: u16) -> Result<Reply, Error> {
    request.headers_mut().insert(CONNECTING_IP, HeaderValue::from_str(&from.ip().to_string())?);
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let asker = hyper::upgrade::on(&mut request);
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let answerer = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(asker), Ok(answerer)) = tokio::join!(asker, answerer) {
                let (mut asker, mut answerer) = (TokioIo::new(asker), TokioIo::new(answerer));
                let _ = tokio::io::copy_bidirectional(&mut asker, &mut answerer).await;
            }
        });
        let (parts, _) = response.into_parts();
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, Body::new(body)))
}
