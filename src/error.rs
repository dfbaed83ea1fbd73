//! One error for every use case, free of any transport. `http/problem.rs` maps it to an answer.

use ringfence_protocol::limits::LimitView;
use ringfence_protocol::problem::ErrorCode;

use crate::ports::{DbError, Unreachable};

/// Why a use case did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Stable, for programs.
    pub code: ErrorCode,
    /// For the caller: what was wrong, what was left untouched, what to do. Never a secret, never another user's data.
    pub detail: String,
    /// For the log only.
    pub log: Option<String>,
    /// Which limit is reached, where one is.
    pub limit: Option<Box<LimitView>>,
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error the caller can do something about.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), log: None, limit: None }
    }

    /// There is no such thing, or it is somebody else's: the answer is the same.
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("There is no such {what}."))
    }

    /// We failed; the caller learns only that.
    pub fn internal(log: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::Internal,
            detail: "Something failed on our side. Nothing else was changed; try again, and give the request id to your operator if it stays.".into(),
            log: Some(log.into()),
            limit: None,
        }
    }

    /// Something we need is away for the moment.
    pub fn unavailable(log: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::Unavailable,
            detail: "A part of the control plane cannot be reached for the moment. Try again shortly.".into(),
            log: Some(log.into()),
            limit: None,
        }
    }

    /// Adds what only the log may know.
    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into());
        self
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Constraint(log) => Self::internal(format!("constraint: {log}")),
            DbError::Unavailable(log) => Self::unavailable(format!("database: {log}")),
        }
    }
}

impl From<Unreachable> for Error {
    fn from(error: Unreachable) -> Self {
        Self::unavailable(format!("node object: {}", error.0))
    }
}
