//! Errors become answers here and nowhere else.

use axum::body::Body;
use axum::response::IntoResponse;
use http::{HeaderValue, Response, StatusCode, header};
use ringfence_protocol::problem::{ErrorCode, PROBLEM_CONTENT_TYPE, Problem};

use crate::error::Error;

/// An error on its way out: the body is filled in when the request's id is known.
pub struct Failure(pub Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Writes the body of a failed answer and gives back the error, for the log.
pub fn fill_in(response: &mut Response<Body>, request_id: &str) -> Option<Error> {
    let error: Error = response.extensions_mut().remove()?;
    let problem = Problem {
        code: error.code,
        status: error.code.status(),
        title: error.code.title().into(),
        detail: error.detail.clone(),
        request_id: request_id.into(),
        limit: error.limit.as_deref().cloned(),
    };
    *response.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
    if error.code == ErrorCode::Unauthenticated {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Some(error)
}

/// The path exists, the method does not.
pub fn method_not_allowed() -> Error {
    Error::new(ErrorCode::MethodNotAllowed, "This path has no such method. /api/openapi.json lists them.")
}
