//! Requests to the control plane: each with its token, a proof of possession and the newest nonce.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};
use ringfence_protocol::claims::Jwks;
use ringfence_protocol::link::{BootstrapParams, CallbackGrant};
use ringfence_protocol::problem::{ErrorCode, PROBLEM_CONTENT_TYPE};
use ringfence_protocol::routes::{self, Endpoint, Method};
use serde::Deserialize;

use crate::clock;
use crate::dead_man::Heard;
use crate::identity::Identity;
use crate::origin::Origin;
use crate::proof;
use crate::secret::Secret;

/// Longest wait for one answer.
const ANSWER_SECS: u64 = 30;
/// Longest wait for a connection.
const CONNECT_SECS: u64 = 10;
/// Largest body that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Times one call is sent while the server asks for another nonce.
const MAX_NONCE_TURNS: usize = 3;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer.
    #[error("no answer from the control plane: {0}")]
    Unreachable(String),
    /// An answer that says no.
    #[error("refused with {status} {code}: {detail}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The problem's code; empty when it had none.
        code: String,
        /// The problem's detail.
        detail: String,
    },
    /// An answer that is not what was asked for.
    #[error("the answer is not what was asked for: {0}")]
    Malformed(String),
    /// The request could not be made.
    #[error(transparent)]
    Proof(#[from] proof::ProofError),
}

impl CallError {
    /// Whether it is the control plane itself that says that a part of it is away. What stands before it, or in its place, has no
    /// problem with that code.
    pub fn is_unavailable(&self) -> bool {
        self.is(ErrorCode::Unavailable)
            && matches!(self, Self::Refused { status, .. } if status.as_u16() == ErrorCode::Unavailable.status())
    }

    /// Whether the control plane refused with this code.
    pub fn is(&self, wanted: ErrorCode) -> bool {
        match self {
            Self::Refused { code, .. } => code == wanted.as_str(),
            Self::Unreachable(_) | Self::Malformed(_) | Self::Proof(_) => false,
        }
    }
}

/// The part of a problem the agent looks at; unknown codes must not make it unreadable.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

/// How a token is presented.
#[derive(Clone, Copy)]
enum Scheme {
    Bearer,
    Dpop,
}

/// The control plane, as this node may call it.
pub struct ControlPlane {
    http: reqwest::Client,
    origin: Origin,
    identity: Identity,
    /// The nonce of the newest answer.
    nonce: Mutex<Option<String>>,
    /// That it is there.
    heard: Heard,
}

impl ControlPlane {
    /// Prepares calls; sends nothing. What shows that the control plane is there is noted.
    pub fn new(origin: Origin, identity: Identity, heard: Heard) -> Result<Self, CallError> {
        // One provider of cryptography for the whole process; a second call finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder();
        if !origin.is_https() {
            // No certificate is ever looked at: a machine without any can reach its own loopback.
            http = http.tls_certs_only([]);
        }
        let http = http
            .user_agent(concat!("ringfence-vm-agent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(CONNECT_SECS))
            .redirect(reqwest::redirect::Policy::none())
            .http1_only() // the link is an HTTP/1.1 upgrade
            .no_proxy() // a proxy named in the environment would see the link end at itself
            .build()
            .map_err(|error| CallError::Unreachable(chain(&error)))?;
        Ok(Self { http, origin, identity, nonce: Mutex::new(None), heard })
    }

    /// The control plane's origin.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Trades the bootstrap token.
    pub async fn bootstrap(&self, token: &Secret, params: &BootstrapParams) -> Result<CallbackGrant, CallError> {
        let body = serde_json::to_vec(params).unwrap_or_default();
        let response = self
            .call(&routes::AGENT_BOOTSTRAP, Scheme::Bearer, token, |request| {
                request.header(CONTENT_TYPE, "application/json").body(body.clone())
            })
            .await?;
        self.grant_of(response).await
    }

    /// Renews the callback token.
    pub async fn renew(&self, token: &Secret) -> Result<CallbackGrant, CallError> {
        let response = self.call(&routes::AGENT_TOKEN, Scheme::Dpop, token, |request| request).await?;
        self.grant_of(response).await
    }

    /// Asks for the public keys, which anybody may.
    pub async fn public_keys(&self) -> Result<Jwks, CallError> {
        let url = self.origin.url(&routes::JWKS);
        let answer = tokio::time::timeout(Duration::from_secs(ANSWER_SECS), self.http.get(&url).send());
        let response = answered(answer.await)?;
        if !response.status().is_success() {
            return Err(refusal_of(response).await);
        }
        serde_json::from_slice(&body_of(response).await?).map_err(|_| CallError::Malformed("not a set of keys".into()))
    }

    /// Asks for the link; the answer is yet to be checked and upgraded.
    pub async fn open_link(&self, token: &Secret, handshake: HeaderMap) -> Result<Response, CallError> {
        self.call(&routes::AGENT_LINK, Scheme::Dpop, token, |request| request.headers(handshake.clone())).await
    }

    async fn grant_of(&self, response: Response) -> Result<CallbackGrant, CallError> {
        let body = body_of(response).await?;
        let grant = serde_json::from_slice(&body)
            .map_err(|_| CallError::Malformed("not a grant of a callback token".into()))?;
        self.heard.note();
        Ok(grant)
    }

    /// Sends one request, again at once when all it lacks is a fresh nonce.
    async fn call(
        &self,
        endpoint: &Endpoint,
        scheme: Scheme,
        token: &Secret,
        fill: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<Response, CallError> {
        let url = self.origin.url(endpoint);
        let mut turn = 1;
        loop {
            let request = match endpoint.method {
                Method::Get => self.http.get(&url),
                Method::Post => self.http.post(&url),
                Method::Put => self.http.put(&url),
                Method::Delete => self.http.delete(&url),
            };
            let request = fill(self.authorize(request, endpoint, &url, scheme, token)?);
            let answer = tokio::time::timeout(Duration::from_secs(ANSWER_SECS), request.send());
            let response = answered(answer.await)?;
            let fresh_nonce = self.take_nonce(&response);
            if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
            let refused = refusal_of(response).await;
            if turn < MAX_NONCE_TURNS && fresh_nonce && refused.is(ErrorCode::UseDpopNonce) {
                turn += 1;
                continue;
            }
            if refused.is_unavailable() {
                self.heard.note();
            }
            return Err(refused);
        }
    }

    fn authorize(
        &self,
        request: reqwest::RequestBuilder,
        endpoint: &Endpoint,
        url: &str,
        scheme: Scheme,
        token: &Secret,
    ) -> Result<reqwest::RequestBuilder, CallError> {
        let wanted = proof::Request { method: endpoint.method.as_str(), url, token, nonce: self.nonce().clone() };
        let proof = proof::make(&self.identity, wanted, rand::random(), clock::machine_now())?;
        let word = match scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Dpop => "DPoP",
        };
        let mut authorization = HeaderValue::from_str(&format!("{word} {}", token.expose()))
            .map_err(|_| CallError::Malformed("the token cannot stand in a header".into()))?;
        authorization.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, authorization).header(DPOP, proof))
    }

    /// Remembers the answer's nonce; whether it had one.
    fn take_nonce(&self, response: &Response) -> bool {
        let given = response.headers().get(DPOP_NONCE).and_then(|value| value.to_str().ok());
        if let Some(given) = given {
            *self.nonce() = Some(given.to_owned());
        }
        given.is_some()
    }

    fn nonce(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answered(answer: Result<reqwest::Result<Response>, tokio::time::error::Elapsed>) -> Result<Response, CallError> {
    answer
        .map_err(|_| CallError::Unreachable(format!("none within {ANSWER_SECS} s")))?
        .map_err(|error| CallError::Unreachable(chain(&error)))
}

async fn refusal_of(response: Response) -> CallError {
    let status = response.status();
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_problem =
        media_type.is_some_and(|text| text.split(';').next().unwrap_or(text).trim() == PROBLEM_CONTENT_TYPE);
    let refusal: Refusal = match body_of(response).await {
        Ok(body) if is_problem => serde_json::from_slice(&body).unwrap_or_default(),
        Ok(_) | Err(_) => Refusal::default(),
    };
    CallError::Refused { status, code: refusal.code, detail: refusal.detail }
}

async fn body_of(mut response: Response) -> Result<Vec<u8>, CallError> {
    let read = async {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| CallError::Unreachable(chain(&error)))? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(CallError::Malformed("too large".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    tokio::time::timeout(Duration::from_secs(ANSWER_SECS), read)
        .await
        .unwrap_or_else(|_| Err(CallError::Unreachable("the answer does not end".into())))
}

/// An error with its causes: the outermost alone says nothing ("error sending request").
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
