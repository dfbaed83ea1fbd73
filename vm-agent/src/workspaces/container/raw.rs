//! Requests over the engine's socket that bollard does not make: libpod's own, and the one whose connection becomes a terminal.

use std::path::Path;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// The engine's answer could not be had, or was not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// The socket cannot be used.
    #[error("the engine's socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The connection broke.
    #[error("the engine's connection: {0}")]
    Http(#[from] hyper::Error),
    /// The request is none.
    #[error("the engine's request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The engine said no.
    #[error("{message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
}

/// A stream of bytes to and from a terminal in a container.
pub(super) type Stream = TokioIo<Upgraded>;

/// A request with an answer in JSON, or none.
pub(super) async fn call(socket: &Path, method: Method, path: &str, body: Option<&Value>) -> Result<Value, RawError> {
    let response = send(socket, method, path, body, false).await?;
    let response = refused_or(response, StatusCode::is_success).await?;
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// A request whose connection is taken over.
pub(super) async fn take_over(socket: &Path, path: &str, body: &Value) -> Result<Stream, RawError> {
    let response = send(socket, Method::POST, path, Some(body), true).await?;
    let response = refused_or(response, |status| *status == StatusCode::SWITCHING_PROTOCOLS).await?;
    Ok(TokioIo::new(hyper::upgrade::on(response).await?))
}

async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
    takes_over: bool,
) -> Result<Response<Incoming>, RawError> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the answer, or with what it was taken over for.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder().method(method).uri(path).header(HOST, "engine");
    if takes_over {
        request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)))?;
    Ok(sender.send_request(request).await?)
}

async fn refused_or(
    response: Response<Incoming>,
    is_good: impl Fn(&StatusCode) -> bool,
) -> Result<Response<Incoming>, RawError> {
    let status = response.status();
    if is_good(&status) {
        return Ok(response);
    }
    let bytes = response.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let message = answer.get("message").and_then(Value::as_str).map(str::to_owned);
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(&bytes).trim().to_owned());
    Err(RawError::Refused { status, message })
}
