//! A control plane: checks every proof as RFC 9449 asks, trades the bootstrap token once, opens links, signs tokens.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt as _, Claims, Header, UntrustedToken};
use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::claims::{Issued, Jwk, Jwks, ProofClaims, TokenKind, WorkspaceClaims};
use ringfence_protocol::ids::{GrantId, NodeId, WorkspaceId};
use ringfence_protocol::link::CallbackGrant;
use ringfence_protocol::state::Permission;
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::link::Link;
use super::soon;

/// What the server remembers and what it was told to do wrong.
#[derive(Default)]
pub(crate) struct Ledger {
    nonces_given: u64,
    /// `x` of the key that traded the bootstrap token.
    pub(crate) bound_key: Option<String>,
    /// Trades that were answered or meant to be.
    pub(crate) trades: u32,
    /// Times the public keys were asked for.
    pub(crate) key_fetches: u32,
    /// Renewals.
    pub(crate) renewals: u32,
    /// Requests sent back for a nonce.
    pub(crate) nonce_refusals: u32,
    /// Answers to trades that are lost after the effect.
    pub(crate) lose_trade_answers: u32,
    /// How long callback tokens live.
    pub(crate) token_life: Option<Duration>,
    /// Answer trades with this code instead.
    pub(crate) refuse_trades: Option<(u16, &'static str)>,
    /// Answer everything with this instead.
    pub(crate) outage: Option<Outage>,
    /// Requests that were answered so.
    pub(crate) turned_away: u32,
}

/// An answer to everything: status, media type, body.
pub(crate) type Outage = (u16, &'static str, &'static str);
/// What the control plane says while its database is away.
pub(crate) const DATABASE_AWAY: Outage = (
    503,
    "application/problem+json",
    r#"{"code":"unavailable","status":503,"title":"t","detail":"d","request_id":"r"}"#,
);
/// What something before it says that does not reach it.
pub(crate) const PROXY_ALONE: Outage = (503, "text/html", "<h1>Service Unavailable</h1>");

struct Shared {
    origin: String,
    /// All keys, the newest last, which signs. The names are `key-1` and so on.
    signing_keys: Mutex<Vec<SigningKey>>,
    ledger: Mutex<Ledger>,
    links: mpsc::UnboundedSender<Link>,
}

/// The server, until it is dropped.
pub(crate) struct ControlPlane {
    shared: Arc<Shared>,
    links: mpsc::UnboundedReceiver<Link>,
    server: tokio::task::JoinHandle<()>,
    /// The node it knows.
    pub(crate) node_id: NodeId,
    /// The token in that node's user-data.
    pub(crate) bootstrap_token: String,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone, Deserialize)]
struct ProofHeader {
    jwk: Jwk,
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (link_sender, links) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            origin,
            signing_keys: Mutex::new(vec![SigningKey::from_bytes(&rand::random())]),
            ledger: Mutex::default(),
            links: link_sender,
        });
        let router = Router::new()
            .route("/agent/bootstrap", post(bootstrap))
            .route("/agent/token", post(renew))
            .route("/agent/link", get(open_link))
            .route("/.well-known/jwks.json", get(jwks))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), answer_outage))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            shared,
            links,
            server,
            node_id: NodeId::from_entropy(rand::random()),
            bootstrap_token: format!("bootstrap-{:x}", rand::random::<u64>()),
        }
    }

    pub(crate) fn origin(&self) -> &str {
        &self.shared.origin
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger.lock().unwrap()
    }

    pub(crate) fn keys(&self) -> Jwks {
        self.shared.keys()
    }

    /// A new key signs from now on.
    pub(crate) fn rotate_keys(&self) {
        let mut keys = self.shared.signing_keys.lock().unwrap();
        keys.push(SigningKey::from_bytes(&rand::random()));
    }

    /// The next link the agent opens.
    pub(crate) async fn link(&mut self) -> Link {
        soon("a link", self.links.recv()).await.unwrap()
    }

    /// A workspace token as the browser gets it.
    pub(crate) fn workspace_token(&self, workspace: WorkspaceId, sid: GrantId, permissions: &[Permission]) -> String {
        let claims = WorkspaceClaims {
            jti: ringfence_protocol::ids::JwtId::from_entropy(rand::random()),
            user: ringfence_protocol::ids::UserId::from_entropy(rand::random()),
            workspace,
            node: self.node_id,
            permissions: permissions.to_vec(),
            sid,
        };
        self.sign(claims, now().as_secs() + 3600)
    }

    /// Signs a token of any kind.
    pub(crate) fn sign<T: TokenKind>(&self, claims: T, expires_at_secs: i64) -> String {
        let keys = self.shared.signing_keys.lock().unwrap();
        let header = Header::empty().with_key_id(format!("key-{}", keys.len())).with_token_type(T::TYPE);
        let mut claims = Claims::new(Issued { iss: self.shared.origin.clone(), aud: T::AUDIENCE.to_owned(), claims });
        claims.issued_at = chrono::DateTime::from_timestamp(now().as_secs(), 0);
        claims.expiration = chrono::DateTime::from_timestamp(expires_at_secs, 0);
        Ed25519.token(&header, &claims, keys.last().unwrap()).unwrap()
    }
}

impl Shared {
    fn keys(&self) -> Jwks {
        let keys = self.signing_keys.lock().unwrap();
        let public = keys.iter().enumerate().map(|(place, key)| {
            let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
            Jwk::ed25519(x, Some(format!("key-{}", place + 1)))
        });
        Jwks { keys: public.rev().collect() }
    }

    /// The `x` of the key that signed the proof, or the answer to give instead.
    fn check(
        &self,
        method: &str,
        path: &str,
        scheme: &str,
        headers: &HeaderMap,
    ) -> Result<(String, String), Box<Response>> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let refuse = |status, code| Box::new(self.problem(status, code));
        let token = text("authorization")
            .and_then(|value| value.strip_prefix(scheme))
            .and_then(|value| value.strip_prefix(' '))
            .ok_or_else(|| refuse(401, "token_invalid"))?;
        let proof = text("dpop").ok_or_else(|| refuse(401, "token_invalid"))?;
        let proof: UntrustedToken<'_, ProofHeader> = proof.try_into().unwrap();
        assert_eq!(proof.header().token_type.as_deref(), Some("dpop+jwt"));
        assert_eq!(proof.algorithm(), "EdDSA");
        let jwk = proof.header().other_fields.jwk.clone();
        assert_eq!((jwk.kty.as_str(), jwk.crv.as_str()), ("OKP", "Ed25519"));
        let key: [u8; 32] = URL_SAFE_NO_PAD.decode(&jwk.x).unwrap().try_into().unwrap();
        let key = VerifyingKey::from_bytes(&key).unwrap();
        let verified = Ed25519.validator::<ProofClaims>(&key).validate(&proof).unwrap();
        let claims = &verified.claims().custom;
        assert!(verified.claims().issued_at.is_some());
        assert_eq!(claims.htm, method);
        assert_eq!(claims.htu, format!("{}{path}", self.origin));
        assert_eq!(claims.ath, URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes())));
        let mut ledger = self.ledger.lock().unwrap();
        let expected = (ledger.nonces_given > 0).then(|| nonce(ledger.nonces_given));
        if claims.nonce.is_none() || claims.nonce != expected {
            ledger.nonce_refusals += 1;
            drop(ledger);
            return Err(refuse(401, "use_dpop_nonce"));
        }
        Ok((jwk.x, token.to_owned()))
    }

    /// A nonce that makes every earlier one stale.
    fn fresh_nonce(&self) -> String {
        let mut ledger = self.ledger.lock().unwrap();
        ledger.nonces_given += 1;
        nonce(ledger.nonces_given)
    }

    fn problem(&self, status: u16, code: &str) -> Response {
        let body = format!(r#"{{"code":"{code}","status":{status},"title":"t","detail":"d","request_id":"r"}}"#);
        Response::builder()
            .status(status)
            .header("content-type", "application/problem+json")
            .header("dpop-nonce", self.fresh_nonce())
            .body(Body::from(body))
            .unwrap()
    }

    fn grant(&self, x: &str) -> Response {
        let life = self.ledger.lock().unwrap().token_life;
        let now = now();
        let grant = CallbackGrant {
            token: format!("callback-{x}"),
            expires_at: now + life.unwrap_or(Duration::from_secs(86_400)),
            now,
            keys: self.keys(),
        };
        let nonce = [("dpop-nonce", self.fresh_nonce())];
        (nonce, serde_json::to_string(&grant).unwrap()).into_response()
    }
}

fn nonce(n: u64) -> String {
    format!("nonce-{n}")
}

pub(crate) fn now() -> UnixMillis {
    vm_agent::clock::machine_now()
}

async fn answer_outage(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let outage = {
        let mut ledger = shared.ledger.lock().unwrap();
        ledger.turned_away += u32::from(ledger.outage.is_some());
        ledger.outage
    };
    let Some((status, media_type, body)) = outage else { return next.run(request).await };
    Response::builder().status(status).header("content-type", media_type).body(Body::from(body)).unwrap()
}

async fn bootstrap(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let (x, _) = match shared.check("POST", "/agent/bootstrap", "Bearer", &headers) {
        Ok(key) => key,
        Err(answer) => return *answer,
    };
    let params: ringfence_protocol::link::BootstrapParams = serde_json::from_str(&body).unwrap();
    assert_eq!(params.agent_sha256.len(), 64);
    let refused = shared.ledger.lock().unwrap().refuse_trades;
    if let Some((status, code)) = refused {
        return shared.problem(status, code);
    }
    let is_lost = {
        let mut ledger = shared.ledger.lock().unwrap();
        ledger.trades += 1;
        match &ledger.bound_key {
            Some(bound) if *bound != x => {
                drop(ledger);
                return shared.problem(409, "bootstrap_key_conflict");
            }
            Some(_) | None => ledger.bound_key = Some(x.clone()),
        }
        let is_lost = ledger.lose_trade_answers > 0;
        ledger.lose_trade_answers = ledger.lose_trade_answers.saturating_sub(1);
        is_lost
    };
    if is_lost {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    shared.grant(&x)
}

async fn jwks(State(shared): State<Arc<Shared>>) -> String {
    shared.ledger.lock().unwrap().key_fetches += 1;
    serde_json::to_string(&shared.keys()).unwrap()
}

async fn renew(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    match shared.check("POST", "/agent/token", "DPoP", &headers) {
        Ok((x, token)) if token == format!("callback-{x}") => {
            shared.ledger.lock().unwrap().renewals += 1;
            shared.grant(&x)
        }
        Ok(_) => shared.problem(401, "token_invalid"),
        Err(answer) => *answer,
    }
}

async fn open_link(State(shared): State<Arc<Shared>>, socket: WebSocketUpgrade, request: Request) -> Response {
    match shared.check("GET", "/agent/link", "DPoP", request.headers()) {
        Ok((x, token)) if token == format!("callback-{x}") => {}
        Ok(_) => return shared.problem(401, "token_invalid"),
        Err(answer) => return *answer,
    }
    let links = shared.links.clone();
    socket.protocols([SUBPROTOCOL]).on_upgrade(move |socket| async move {
        let (link, relay) = Link::new(socket);
        let _ = links.send(link);
        relay.await;
    })
}
