//! Requests as somebody makes them who does not keep to the rules: any header, any method, any body.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt as _, Claims, Header};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use ringfence_protocol::claims::{Jwk, PROOF_TYPE, ProofClaims};
use ringfence_protocol::problem::{ErrorCode, Problem};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A client with a new connection for each request: workerd closes one whose body it did not read.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(0).http1_only().no_proxy().build().unwrap()
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The problem in the body, if there is one.
    pub fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The problem's code.
    pub fn code(&self) -> Option<ErrorCode> {
        self.problem().map(|problem| problem.code)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Raw {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Raw {
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Self { method, url: url.into(), headers: Vec::new(), body: None }
    }

    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header, beside others of its name.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub fn headers<'a>(mut self, headers: impl IntoIterator<Item = &'a (String, String)>) -> Self {
        self.headers.extend(headers.into_iter().cloned());
        self
    }

    #[must_use]
    pub fn cookie(self, token: &str) -> Self {
        self.header("cookie", format!("__Host-session={token}"))
    }

    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Asks for a WebSocket, and offers these subprotocols.
    #[must_use]
    pub fn upgrade(self, subprotocols: Option<&str>) -> Self {
        let asked = self
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "cmluZ2ZlbmNlLXRlc3QuLg==");
        match subprotocols {
            Some(offer) => asked.header("sec-websocket-protocol", offer),
            None => asked,
        }
    }

    pub async fn send(self, http: &reqwest::Client) -> Result<Answer> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        let mut request = http.request(self.method, self.url).headers(headers);
        if let Some(body) = self.body {
            request = request.body(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        // The body of a switched protocol never ends.
        let body = if status == StatusCode::SWITCHING_PROTOCOLS { Vec::new() } else { answer.bytes().await?.to_vec() };
        Ok(Answer { status, headers, body })
    }
}

/// A machine's key pair: proves possession as the agent does, and in all the wrong ways.
pub struct DeviceKey {
    signing: SigningKey,
    jwk: Jwk,
}

/// What a proof says.
#[derive(Clone)]
pub struct ProofFor<'a> {
    pub method: &'a str,
    pub url: String,
    pub token: &'a str,
    pub nonce: Option<String>,
}

#[derive(Serialize)]
struct ProofHeader<'a> {
    jwk: &'a Jwk,
}

impl DeviceKey {
    pub fn new() -> Self {
        let signing = SigningKey::from_bytes(&rand::random());
        let jwk = Jwk::ed25519(URL_SAFE_NO_PAD.encode(signing.verifying_key().as_bytes()), None);
        Self { signing, jwk }
    }

    /// The key's thumbprint, as tokens are bound to it.
    pub fn jkt(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.jwk.thumbprint_input()))
    }

    pub fn proof(&self, asked: ProofFor<'_>) -> String {
        self.proof_of_type(PROOF_TYPE, asked)
    }

    pub fn proof_of_type(&self, kind: &str, asked: ProofFor<'_>) -> String {
        let header = Header::new(ProofHeader { jwk: &self.jwk }).with_token_type(kind);
        let claims = ProofClaims {
            jti: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
            htm: asked.method.to_owned(),
            htu: asked.url,
            nonce: asked.nonce,
            ath: URL_SAFE_NO_PAD.encode(Sha256::digest(asked.token)),
        };
        Ed25519.token(&header, &Claims::new(claims), &self.signing).unwrap()
    }
}
