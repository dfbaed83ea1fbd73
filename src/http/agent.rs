//! What agents may ask. Their credentials open nothing else, and nothing else opens these (I6, I11).

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ringfence_protocol::link::{BootstrapParams, CallbackGrant};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::{self, Principal};
use worker::send::SendFuture;

use super::App;
use super::extract::{JsonBody, source};
use super::problem::Failure;
use super::table::Table;
use super::viewer::require_upgrade;
use crate::app::agent_report;
use crate::app::bootstrap::{self, AgentCaller, Presented, Redeemed};
use crate::app::caller::Source;
use crate::cloudflare::{Ticket, forward};
use crate::domain::mac;
use crate::error::{Error, Result};
use crate::ports::Clock;

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::NewAgent, Principal::Agent])
        .serve(&routes::AGENT_BOOTSTRAP, redeem)
        .serve(&routes::AGENT_TOKEN, renew)
        .serve(&routes::AGENT_LINK, open_link)
        .build()
}

/// Puts a fresh nonce on an answer to an agent, for its next proof (RFC 9449 section 8.2).
pub fn offer_nonce(app: &App, headers: &mut HeaderMap) {
    let nonce = mac::nonce(&app.config.keyring, app.host.now());
    if let Ok(value) = HeaderValue::from_str(&nonce) {
        headers.insert(HeaderName::from_static("dpop-nonce"), value);
    }
}

/// The token and proof of an agent's request, not yet verified.
struct Credentials {
    method: String,
    path: String,
    token: String,
    proof: String,
    source: Source,
}

impl Credentials {
    fn read(parts: &Parts, scheme: &str) -> Result<Self> {
        let missing = || Error::new(ErrorCode::TokenInvalid, "Agents send Authorization and DPoP headers, one each.");
        let single = |name: HeaderName| {
            let mut values = parts.headers.get_all(name).iter();
            let first = values.next().and_then(|value| value.to_str().ok());
            if values.next().is_some() { None } else { first }
        };
        let token = single(header::AUTHORIZATION).and_then(|text| text.strip_prefix(scheme)).ok_or_else(missing)?;
        let proof = single(HeaderName::from_static("dpop")).ok_or_else(missing)?;
        Ok(Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            token: token.to_owned(),
            proof: proof.to_owned(),
            source: source(parts),
        })
    }

    fn presented(&self) -> Presented<'_> {
        Presented {
            method: &self.method,
            path: &self.path,
            token: &self.token,
            proof: &self.proof,
            source: &self.source,
        }
    }
}

/// A machine with a bootstrap token, not yet verified.
struct NewAgent(Credentials);

impl FromRequestParts<App> for NewAgent {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Failure> {
        Ok(Self(Credentials::read(parts, "Bearer ")?))
    }
}

/// A node's agent, authenticated.
struct Agent(AgentCaller);

impl FromRequestParts<App> for Agent {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Failure> {
        let credentials = Credentials::read(parts, "DPoP ")?;
        let presented = credentials.presented();
        let agent = SendFuture::new(bootstrap::authenticate(&app.host, &app.config, &presented)).await?;
        Ok(Self(agent))
    }
}

#[worker::send]
async fn redeem(
    State(app): State<App>,
    NewAgent(credentials): NewAgent,
    _body: JsonBody<BootstrapParams>,
) -> std::result::Result<Json<CallbackGrant>, Failure> {
    match bootstrap::redeem(&app.host, &app.config, &credentials.presented()).await? {
        Redeemed::Granted(grant) => Ok(Json(grant)),
        Redeemed::KeyConflict(node) => {
            agent_report::key_conflict(&app.host, &app.config.settings, node).await?;
            Err(Failure(bootstrap::key_conflict()))
        }
    }
}

async fn renew(State(app): State<App>, Agent(agent): Agent) -> std::result::Result<Json<CallbackGrant>, Failure> {
    Ok(Json(bootstrap::renew(&app.config, &agent, app.host.now())?))
}

#[worker::send]
async fn open_link(
    State(app): State<App>,
    Agent(agent): Agent,
    headers: HeaderMap,
) -> std::result::Result<Response, Failure> {
    require_upgrade(&headers)?;
    let ticket = Ticket::Agent { agent_epoch: agent.agent_epoch, proof_jti: agent.proof_jti };
    let answer = forward(app.host.env(), agent.node, &ticket).await.map_err(Error::from)?;
    if answer.status_code() == 401 {
        return Err(Failure(Error::new(
            ErrorCode::TokenInvalid,
            "This proof has opened a link before. Make a new one.",
        )));
    }
    Ok(http::Response::<axum::body::Body>::from(answer).into_response())
}
