//! What Hetzner's refusals, and missing answers, mean.

use std::time::Duration;

use reqwest::StatusCode;

use super::wire::Said;
use crate::provider::error::{ErrorClass, ProviderError};

/// Longest message kept, in characters.
const MESSAGE_MAX_CHARS: usize = 300;

/// Whether a request can change anything, which decides what a lost answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It cannot: ask again.
    Read,
    /// It can: whether it did is not known.
    Write,
}

impl Effect {
    const fn when_unanswered(self) -> ErrorClass {
        match self {
            Self::Read => ErrorClass::Transient,
            Self::Write => ErrorClass::Unknown,
        }
    }
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: ProviderError,
    not_found: bool,
}

impl Refusal {
    /// The API itself said that there is no such thing. A bare 404 does not count: it may come from anything on the way,
    /// and taking it for an answer would lose a running machine.
    pub(super) const fn not_found(&self) -> bool {
        self.not_found
    }
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        Self { error, not_found: false }
    }
}

impl From<Refusal> for ProviderError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// No answer came.
pub(super) fn lost(effect: Effect, error: &reqwest::Error) -> Refusal {
    // Its own text names the URL, which is no secret but long; the kind of failure is what matters.
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "no answer"
    };
    ProviderError::new(effect.when_unanswered(), "no_answer", what).into()
}

/// An answer came that says it went well, in words we do not understand.
pub(super) fn unreadable(effect: Effect, error: &serde_json::Error) -> Refusal {
    let message = format!("the answer cannot be read: {error}");
    ProviderError::new(effect.when_unanswered(), "unreadable_answer", shortened(&message)).into()
}

/// A refusal, with what the API said if it was the API.
pub(super) fn refusal(
    effect: Effect,
    status: StatusCode,
    said: Option<Said>,
    retry_after_secs: Option<u64>,
) -> Refusal {
    let class = match &said {
        Some(said) => class_of(effect, status, &said.code),
        None => class_of_status(effect, status),
    };
    let not_found = said.as_ref().is_some_and(|said| said.code == "not_found");
    let (code, message) = match said {
        Some(said) => (shortened(&said.code), shortened(&said.message)),
        None => (format!("http_{}", status.as_u16()), "an answer that is not of the API".into()),
    };
    let error = ProviderError { class, code, message, retry_after: retry_after_secs.map(Duration::from_secs) };
    Refusal { error, not_found }
}

fn class_of(effect: Effect, status: StatusCode, code: &str) -> ErrorClass {
    match code {
        "resource_unavailable" | "placement_error" | "no_space_left_in_location" => ErrorClass::Capacity,
        "resource_limit_exceeded" => ErrorClass::Quota,
        "unauthorized" | "forbidden" | "token_readonly" => ErrorClass::Auth,
        "rate_limit_exceeded" => ErrorClass::RateLimited,
        "uniqueness_error" => ErrorClass::NameTaken,
        "invalid_input"
        | "invalid_server_type"
        | "json_error"
        | "not_found"
        | "protected"
        | "unsupported_error"
        | "method_not_allowed"
        | "deprecated_api_endpoint" => ErrorClass::Invalid,
        // Judged and not done, because of something that passes.
        "conflict" | "locked" | "resource_locked" | "maintenance" | "unavailable" | "robot_unavailable" => {
            ErrorClass::Transient
        }
        // `service_error`, `server_error`, `timeout` and whatever comes later: the status is all there is to go by.
        _ if status.is_client_error() => class_of_unknown_code(effect, status),
        _ => effect.when_unanswered(),
    }
}

/// The API said a code we do not know, with a status that blames the request.
fn class_of_unknown_code(effect: Effect, status: StatusCode) -> ErrorClass {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorClass::Auth,
        StatusCode::TOO_MANY_REQUESTS => ErrorClass::RateLimited,
        StatusCode::REQUEST_TIMEOUT => effect.when_unanswered(),
        _ => ErrorClass::Invalid,
    }
}

/// Something on the way answered in the API's place: it knows nothing of keys, names or machines.
fn class_of_status(effect: Effect, status: StatusCode) -> ErrorClass {
    match status {
        StatusCode::UNAUTHORIZED => ErrorClass::Auth,
        StatusCode::TOO_MANY_REQUESTS => ErrorClass::RateLimited,
        _ => effect.when_unanswered(),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_MAX_CHARS).collect()
}
