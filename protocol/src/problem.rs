//! Errors of the HTTP API: `application/problem+json` (RFC 9457) with a stable code. Every code has a line in docs/errors.md.

use serde::{Deserialize, Serialize};

use crate::limits::LimitView;

/// Media type of an error's body.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// The body of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Stable; programs may rely on it.
    pub code: ErrorCode,
    /// The HTTP status, again.
    pub status: u16,
    /// What the code means, in a few words.
    pub title: String,
    /// What was wrong this time, what was left untouched and what to do.
    pub detail: String,
    /// Names this request in the logs.
    pub request_id: String,
    /// With `limit_reached` and `budget_reached`: which limit, and what is used of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitView>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $word:literal, $status:literal, $title:literal;)*) => {
        /// Stable error codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum ErrorCode { $($(#[$doc])* #[serde(rename = $word)] $code,)* }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];
            /// The code as a word.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$code => $word),* } }
            /// Its HTTP status.
            pub const fn status(self) -> u16 { match self { $(Self::$code => $status),* } }
            /// What it means, in a few words.
            pub const fn title(self) -> &'static str { match self { $(Self::$code => $title),* } }
        }
    };
}

codes! {
    /// The body is not JSON, misses a field or has one we do not know.
    InvalidBody = "invalid_body", 400, "The request's body is not valid";
    /// A parameter in the path or query is not valid.
    InvalidParameter = "invalid_parameter", 400, "A parameter is not valid";
    /// No sign-in, or one that does not hold any more.
    Unauthenticated = "unauthenticated", 401, "Sign in first";
    /// A sign-in link that is unknown, used or too old.
    LinkInvalid = "link_invalid", 401, "This sign-in link cannot be used";
    /// A token that is not valid for this.
    TokenInvalid = "token_invalid", 401, "The token is not valid here";
    /// The proof of possession lacks a fresh nonce: take it from the DPoP-Nonce header and try again.
    UseDpopNonce = "use_dpop_nonce", 401, "A fresh DPoP nonce is needed";
    /// The bootstrap token's time is over.
    BootstrapExpired = "bootstrap_expired", 401, "The bootstrap token has expired";
    /// What may be spent is spent, or would be.
    BudgetReached = "budget_reached", 402, "A budget is reached";
    /// Signed in, but not allowed.
    Forbidden = "forbidden", 403, "Not allowed";
    /// The request comes from another site.
    CrossOrigin = "cross_origin", 403, "The request does not come from this site";
    /// There is no such thing, or it is somebody else's.
    NotFound = "not_found", 404, "Not found";
    /// The path exists, not with this method.
    MethodNotAllowed = "method_not_allowed", 405, "This method is not allowed here";
    /// Something changed in between, or the state does not allow it.
    Conflict = "conflict", 409, "Not possible in the current state";
    /// The bootstrap token was already traded by another key. The node is quarantined.
    BootstrapKeyConflict = "bootstrap_key_conflict", 409, "The bootstrap token was used by another key";
    /// The credential still has nodes.
    CredentialInUse = "credential_in_use", 409, "The credential is in use";
    /// The same idempotency key was used with another body.
    IdempotencyMismatch = "idempotency_mismatch", 409, "The idempotency key was used with another request";
    /// There is no credential to create a node with.
    NoCredential = "no_credential", 409, "Connect a cloud first";
    /// The body is larger than we read.
    BodyTooLarge = "body_too_large", 413, "The request's body is too large";
    /// The body is not JSON by its content type.
    UnsupportedMediaType = "unsupported_media_type", 415, "Send application/json";
    /// The provider refused the key.
    CredentialRejected = "credential_rejected", 422, "The provider refused the credential";
    /// More was asked for a container than this installation allows.
    CeilingExceeded = "ceiling_exceeded", 422, "More than this installation allows";
    /// The provider does not offer what was asked.
    NotOffered = "not_offered", 422, "The provider does not offer this";
    /// A WebSocket was expected.
    UpgradeRequired = "upgrade_required", 426, "Open this as a WebSocket";
    /// A limit of the user, the tenant or the installation is reached.
    LimitReached = "limit_reached", 429, "A limit is reached";
    /// We failed. The request id finds it in the logs.
    Internal = "internal", 500, "Something failed on our side";
    /// The provider did not answer as it should.
    ProviderUnavailable = "provider_unavailable", 502, "The provider cannot be reached";
    /// An admin has paused the making of machines.
    ProvisioningPaused = "provisioning_paused", 503, "No machines are made for the time being";
    /// The database or another part is not to be reached for the moment.
    Unavailable = "unavailable", 503, "Not available for the moment";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
