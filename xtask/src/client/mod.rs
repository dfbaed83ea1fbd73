//! A client of the control plane's API: the demonstration, the end-to-end tests and the measurements share it.
//!
//! It speaks with the routes, views and frames of `ringfence-protocol` and knows nothing else of the control plane.

mod api;
mod terminal;
mod wait;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue, ORIGIN, SET_COOKIE};
use reqwest::{RequestBuilder, StatusCode};
use ringfence_protocol::params::{RedeemLinkParams, SecretText};
use ringfence_protocol::problem::{ErrorCode, Problem};
use ringfence_protocol::routes::{self, Endpoint};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::terminal::{Closed, Screen, Terminal, Traffic};
pub use self::wait::{until, until_some};

const SESSION_COOKIE: &str = "__Host-session";
/// No answer within this time is an error: a control plane that hangs must not hang its tests.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// One user's way into one control plane.
#[derive(Clone)]
pub struct Client {
    origin: String,
    http: reqwest::Client,
    credentials: HeaderMap,
}

/// The control plane said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, where it was one of ours.
    pub problem: Option<Problem>,
}

impl Refused {
    /// The stable code of the refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        self.problem.as_ref().map(|problem| problem.code)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Some(problem) => write!(f, "{}: {} (request {})", problem.code, problem.detail, problem.request_id),
            None => write!(f, "the answer was {}", self.status),
        }
    }
}

impl std::error::Error for Refused {}

impl Client {
    /// Somebody who has not signed in.
    pub fn new(origin: impl Into<String>) -> Self {
        // Building fails only where TLS cannot be set up, and there is none: the control plane is on this machine.
        let http = reqwest::Client::builder().timeout(ANSWER_LIMIT).build().unwrap_or_default();
        Self { origin: origin.into(), http, credentials: HeaderMap::new() }
    }

    /// Trades a sign-in link, or what follows its `#token=`, for a session.
    pub async fn sign_in(origin: impl Into<String>, link: &str) -> Result<Self> {
        let mut client = Self::new(origin);
        let token = link.rsplit_once("#token=").map_or(link, |(_, token)| token);
        let params = RedeemLinkParams { token: SecretText::new(token.to_owned()) };
        let answer = accepted(client.request(&routes::AUTH_LINK, &[]).json(&params)).await?;
        let cookie = answer.headers().get_all(SET_COOKIE).iter().find_map(session_of).context("no session cookie")?;
        client.credentials = HeaderMap::from_iter([(COOKIE, secret_header(&format!("{SESSION_COOKIE}={cookie}"))?)]);
        Ok(client)
    }

    /// The same control plane, with a session: the value of its cookie.
    pub fn with_session(&self, token: &SecretText) -> Result<Self> {
        let header = secret_header(&format!("{SESSION_COOKIE}={}", token.expose()))?;
        Ok(Self { credentials: HeaderMap::from_iter([(COOKIE, header)]), ..self.clone() })
    }

    /// The same control plane, with an API token.
    pub fn with_api_token(&self, token: &SecretText) -> Result<Self> {
        let header = secret_header(&format!("Bearer {}", token.expose()))?;
        Ok(Self { credentials: HeaderMap::from_iter([(AUTHORIZATION, header)]), ..self.clone() })
    }

    /// The control plane's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A request as a browser would send it: with the credentials, and with `Origin`.
    pub fn request(&self, endpoint: &Endpoint, values: &[&dyn fmt::Display]) -> RequestBuilder {
        let url = format!("{}{}", self.origin, endpoint.fill(values));
        let request = match endpoint.method {
            routes::Method::Get => self.http.get(url),
            routes::Method::Post => self.http.post(url),
            routes::Method::Put => self.http.put(url),
            routes::Method::Delete => self.http.delete(url),
        };
        request.headers(self.credentials.clone()).header(ORIGIN, &self.origin)
    }

    /// Calls an endpoint without a body.
    pub async fn call<T: DeserializeOwned>(&self, endpoint: &Endpoint, values: &[&dyn fmt::Display]) -> Result<T> {
        read(accepted(self.request(endpoint, values)).await?).await
    }

    /// Calls an endpoint with a query.
    pub async fn query<T: DeserializeOwned>(&self, endpoint: &Endpoint, query: &impl Serialize) -> Result<T> {
        read(accepted(self.request(endpoint, &[]).query(query)).await?).await
    }

    /// Calls an endpoint with a body.
    pub async fn send<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        values: &[&dyn fmt::Display],
        params: &impl Serialize,
    ) -> Result<T> {
        read(accepted(self.request(endpoint, values).json(params)).await?).await
    }

    /// Calls an endpoint for its effect alone.
    pub async fn act(&self, endpoint: &Endpoint, values: &[&dyn fmt::Display]) -> Result<()> {
        accepted(self.request(endpoint, values)).await.map(drop)
    }
}

/// Sends, and turns every answer but 2xx into [`Refused`].
async fn accepted(request: RequestBuilder) -> Result<reqwest::Response> {
    let answer = request.send().await?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.bytes().await?;
    Err(Refused { status, problem: serde_json::from_slice(&body).ok() }.into())
}

async fn read<T: DeserializeOwned>(answer: reqwest::Response) -> Result<T> {
    let url = answer.url().clone();
    let body = answer.bytes().await?;
    serde_json::from_slice(&body).with_context(|| format!("{} {}", url.path(), String::from_utf8_lossy(&body)))
}

fn session_of(cookie: &HeaderValue) -> Option<String> {
    let pair = cookie.to_str().ok()?.split(';').next()?;
    let value = pair.strip_prefix(SESSION_COOKIE)?.strip_prefix('=')?;
    (!value.is_empty()).then(|| value.to_owned())
}

fn secret_header(text: &str) -> Result<HeaderValue> {
    let mut header = HeaderValue::from_str(text).context("not a header value")?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_among_cookies() {
        let cookie = |text| session_of(&HeaderValue::from_static(text));
        assert_eq!(cookie("__Host-session=abc; Path=/; Secure").as_deref(), Some("abc"));
        assert_eq!(cookie("__Host-session=; Max-Age=0"), None);
        assert_eq!(cookie("other=abc"), None);
    }
}
