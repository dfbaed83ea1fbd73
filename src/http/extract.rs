//! Extractors: authentication, path, query and body. Each principal has its own (I11); none takes another's credentials.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::header;
use http::request::Parts;
use ringfence_protocol::problem::ErrorCode;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use worker::send::SendFuture;

use super::problem::Failure;
use super::{App, cookie, origin};
use crate::app::caller::{Caller, Source, unauthenticated};
use crate::domain::mac::hex;
use crate::error::{Error, Result};

/// Largest body we read: the longest is a provider's key.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest description of a client we keep.
const MAX_USER_AGENT_CHARS: usize = 200;

/// Where a request came from.
pub fn source(parts: &Parts) -> Source {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Source {
        address: text("cf-connecting-ip").to_owned(),
        user_agent: text("user-agent").chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT_CHARS).collect(),
    }
}

/// Anybody: only where they are is known.
pub struct Anyone(pub Source);

impl FromRequestParts<App> for Anyone {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Failure> {
        Ok(Self(source(parts)))
    }
}

/// Anybody, on one of our own pages: for what changes something before there is a session. Checked before the body is read.
pub struct SameOrigin;

impl FromRequestParts<App> for SameOrigin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Failure> {
        origin::require(&parts.headers, &app.config.origins)?;
        Ok(Self)
    }
}

/// A signed-in user: session cookie or API token.
pub struct User(pub Caller);

impl FromRequestParts<App> for User {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Failure> {
        SendFuture::new(authenticate(parts, app)).await.map(Self).map_err(Failure)
    }
}

/// A signed-in browser. API tokens are refused.
pub struct Browser(pub Caller);

impl FromRequestParts<App> for Browser {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Failure> {
        let caller = SendFuture::new(authenticate(parts, app)).await?;
        caller.session()?;
        Ok(Self(caller))
    }
}

/// A signed-in admin of a tenant, or of all.
pub struct TenantAdmin(pub Caller);

impl FromRequestParts<App> for TenantAdmin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Failure> {
        let caller = SendFuture::new(authenticate(parts, app)).await?;
        caller.require_tenant_admin()?;
        Ok(Self(caller))
    }
}

/// A signed-in admin.
pub struct Admin(pub Caller);

impl FromRequestParts<App> for Admin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Failure> {
        let caller = SendFuture::new(authenticate(parts, app)).await?;
        caller.require_admin()?;
        Ok(Self(caller))
    }
}

async fn authenticate(parts: &Parts, app: &App) -> Result<Caller> {
    let changes = parts.method != http::Method::GET;
    let source = source(parts);
    match parts.headers.get(header::AUTHORIZATION) {
        // A bearer token is never sent by a browser on its own: no Origin is needed, a foreign one is refused all the same.
        Some(value) => {
            let token =
                value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).ok_or_else(unauthenticated)?;
            if changes {
                origin::refuse_foreign(&parts.headers, &app.config.origins)?;
            }
            Caller::from_api_token(&app.host, &app.config, token, source).await
        }
        None => {
            let token = cookie::read(&parts.headers).ok_or_else(unauthenticated)?;
            if changes {
                origin::require(&parts.headers, &app.config.origins)?;
            }
            Caller::from_session(&app.host, &app.config, token, source).await
        }
    }
}

/// An identifier in the path. One that is not valid names nothing: 404, as for one that is unknown.
pub struct PathId<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for PathId<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Failure> {
        match Path::<T>::from_request_parts(parts, app).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Failure(Error::not_found("thing"))),
        }
    }
}

/// A query string; unknown parameters are refused.
pub struct QueryParams<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for QueryParams<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Failure> {
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Failure(Error::new(ErrorCode::InvalidParameter, rejection.body_text()))),
        }
    }
}

/// A JSON body; unknown fields are refused. An empty body is `{}`.
pub struct JsonBody<T> {
    /// What it says.
    pub params: T,
    /// SHA-256 of its bytes in hex, for idempotency.
    pub sha256: String,
}

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &App) -> std::result::Result<Self, Failure> {
        let content_type =
            request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
        let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES)
            .await
            .map_err(|_| Error::new(ErrorCode::BodyTooLarge, "The body is larger than 64 KiB. Nothing was changed."))?;
        // A cross-site form cannot send this content type without asking first.
        if !bytes.is_empty() && !content_type.is_some_and(|kind| kind.starts_with(b"application/json")) {
            return Err(Failure(Error::new(ErrorCode::UnsupportedMediaType, "Send the body as application/json.")));
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // serde would read a list as an object whose fields stand in order.
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(Failure(Error::new(
                ErrorCode::InvalidBody,
                "The body is not a JSON object. Nothing was changed.",
            )));
        }
        let params = serde_json::from_slice(text)
            .map_err(|error| Error::new(ErrorCode::InvalidBody, format!("{error}. Nothing was changed.")))?;
        Ok(Self { params, sha256: hex(&Sha256::digest(text)) })
    }
}

/// The `Idempotency-Key` header: 1 to 128 visible ASCII characters.
pub struct IdempotencyKey(pub Option<String>);

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Failure> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        match value.to_str() {
            Ok(key) if (1..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Self(Some(key.to_owned())))
            }
            Ok(_) | Err(_) => Err(Failure(Error::new(
                ErrorCode::InvalidParameter,
                "Idempotency-Key: 1 to 128 visible ASCII characters.",
            ))),
        }
    }
}
