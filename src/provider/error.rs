//! Why a provider did not do what was asked, in the classes that callers act upon.

use std::fmt;
use std::time::Duration;

use crate::domain::node::CallError;

/// The result of a provider call.
pub type Result<T> = std::result::Result<T, ProviderError>;

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// No such machine is free there: try the next region or size.
    Capacity,
    /// The account's limit is reached.
    Quota,
    /// The key is refused, or may not do this.
    Auth,
    /// Too many requests: wait.
    RateLimited,
    /// The request will never succeed as it is.
    Invalid,
    /// A machine of this name exists: find and adopt it.
    NameTaken,
    /// It did not happen, and may at another time.
    Transient,
    /// The answer was lost or says nothing: it may have happened.
    Unknown,
}

/// Why a provider call failed. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// What it means.
    pub class: ErrorClass,
    /// The provider's own word, or ours where it gave none.
    pub code: String,
    /// For people.
    pub message: String,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    pub(super) fn new(class: ErrorClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class, code: code.into(), message: message.into(), retry_after: None }
    }
}

/// Code of the error for a machine that does not carry the marks of the node it was to be deleted for.
pub const NOT_OURS: &str = "not_ours";

/// The machine does not prove to be ours: it is left alone.
pub fn not_ours() -> ProviderError {
    ProviderError::new(
        ErrorClass::Invalid,
        NOT_OURS,
        "The machine does not carry the marks of this node: it was left alone.",
    )
}

impl From<&ProviderError> for CallError {
    fn from(error: &ProviderError) -> Self {
        match error.class {
            ErrorClass::Capacity => Self::Capacity,
            ErrorClass::Quota => Self::Quota,
            ErrorClass::Auth => Self::Auth,
            ErrorClass::RateLimited => Self::RateLimited {
                retry_after_ms: error.retry_after.and_then(|wait| wait.as_millis().try_into().ok()),
            },
            ErrorClass::Invalid => Self::Invalid,
            ErrorClass::NameTaken => Self::NameTaken,
            ErrorClass::Transient => Self::Transient,
            ErrorClass::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ProviderError {}
