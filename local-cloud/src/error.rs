//! Refusals, in Hetzner's words: a code, the HTTP status that goes with it, and a message.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The error codes of Hetzner's API that can happen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    JsonError,
    Unauthorized,
    Forbidden,
    TokenReadonly,
    ResourceLimitExceeded,
    ResourceInUse,
    NotFound,
    MethodNotAllowed,
    UniquenessError,
    DeprecatedApiEndpoint,
    ResourceUnavailable,
    InvalidInput,
    Locked,
    RateLimitExceeded,
    ServiceError,
}

impl ErrorCode {
    fn as_str(self) -> &'static str {
        match self {
            Self::JsonError => "json_error",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TokenReadonly => "token_readonly",
            Self::ResourceLimitExceeded => "resource_limit_exceeded",
            Self::ResourceInUse => "resource_in_use",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UniquenessError => "uniqueness_error",
            Self::DeprecatedApiEndpoint => "deprecated_api_endpoint",
            Self::ResourceUnavailable => "resource_unavailable",
            Self::InvalidInput => "invalid_input",
            Self::Locked => "locked",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::ServiceError => "service_error",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::JsonError => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::TokenReadonly | Self::ResourceLimitExceeded => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UniquenessError => StatusCode::CONFLICT,
            Self::DeprecatedApiEndpoint => StatusCode::GONE,
            Self::ResourceUnavailable => StatusCode::PRECONDITION_FAILED,
            Self::ResourceInUse | Self::InvalidInput => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Locked => StatusCode::LOCKED,
            Self::RateLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::ServiceError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A refusal: `{"error": {"code", "message", "details"}}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) code: ErrorCode,
    message: String,
    details: Value,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Value::Null }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} not found"))
    }

    /// A field of the body or a parameter of the query that cannot be.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let details = json!({"fields": [{"name": field, "messages": [message]}]});
        Self { code: ErrorCode::InvalidInput, message: format!("invalid input in field '{field}'"), details }
    }

    pub(crate) fn name_taken() -> Self {
        let details = json!({"fields": [{"name": "name"}]});
        Self { code: ErrorCode::UniquenessError, message: "name is already used".into(), details }
    }

    pub(crate) fn locked() -> Self {
        Self::new(ErrorCode::Locked, "the server is locked by an action that is still running")
    }

    /// What was asked of a machine cannot be done now, with the reason.
    pub(crate) fn cannot(cause: &anyhow::Error) -> Self {
        Self::new(ErrorCode::ResourceUnavailable, format!("{cause:#}"))
    }

    /// The state could not be written; the log has the reason.
    pub(crate) fn internal(cause: &anyhow::Error) -> Self {
        tracing::error!(error = format!("{cause:#}"), "request failed");
        Self::new(ErrorCode::ServiceError, "internal error; see the log of local-cloud")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error": {
            "code": self.code.as_str(), "message": self.message, "details": self.details,
        }});
        (self.code.status(), Json(body)).into_response()
    }
}
