//! Claims of every token, told apart by the `typ` header *and* the audience.
//!
//! `iat` and `exp` (RFC 7519) are handled by the JWT library; these are the claims beside them.

use serde::{Deserialize, Serialize};

use crate::ids::{GrantId, JwtId, NodeId, SessionId, TenantId, UserId, WorkspaceId};
use crate::state::Permission;

/// A kind of token: its claims, its `typ` header and its audience.
pub trait TokenKind: Serialize + for<'de> Deserialize<'de> {
    /// The `typ` header (RFC 8725 section 3.11, explicit typing).
    const TYPE: &'static str;
    /// The `aud` claim.
    const AUDIENCE: &'static str;
}

/// What every token's body holds beside `iat` and `exp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued<T> {
    /// The canonical origin of the control plane that signed it.
    pub iss: String,
    /// [`TokenKind::AUDIENCE`].
    pub aud: String,
    /// The claims of its kind.
    #[serde(flatten)]
    pub claims: T,
}

/// Signs a browser in: the `__Host-session` cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClaims {
    /// The session's row.
    pub sid: SessionId,
    /// Whose session.
    pub user: UserId,
    /// The user's tenant.
    pub tenant: TenantId,
}

impl TokenKind for SessionClaims {
    const TYPE: &'static str = "rf-session+jwt";
    const AUDIENCE: &'static str = "ringfence/session";
}

/// Opens a WebSocket to one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceClaims {
    /// This token.
    pub jti: JwtId,
    /// Who may use it.
    pub user: UserId,
    /// On what.
    pub workspace: WorkspaceId,
    /// Where it runs.
    pub node: NodeId,
    /// For what.
    pub permissions: Vec<Permission>,
    /// The session or API token it came from, whose end is its end.
    pub sid: GrantId,
}

impl TokenKind for WorkspaceClaims {
    const TYPE: &'static str = "rf-workspace+jwt";
    const AUDIENCE: &'static str = "ringfence/workspace";
}

/// The only secret in a VM's user-data; traded once for a callback token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapClaims {
    /// This token.
    pub jti: JwtId,
    /// The node that may redeem it.
    pub node: NodeId,
}

impl TokenKind for BootstrapClaims {
    const TYPE: &'static str = "rf-bootstrap+jwt";
    const AUDIENCE: &'static str = "ringfence/bootstrap";
}

/// Lets an agent call the control plane, together with a proof of possession.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackClaims {
    /// The agent's node.
    pub node: NodeId,
    /// The node's agent_epoch at the time of issue; a raised one ends the token.
    pub agent_epoch: i64,
    /// The key whose holder may use it.
    pub cnf: Confirmation,
}

impl TokenKind for CallbackClaims {
    const TYPE: &'static str = "rf-callback+jwt";
    const AUDIENCE: &'static str = "ringfence/callback";
}

/// Proof-of-possession key of a token (RFC 7800 section 3.1, RFC 9449 section 6.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// SHA-256 thumbprint of the key (RFC 7638), base64url without padding.
    pub jkt: String,
}

/// The `typ` header of a DPoP proof (RFC 9449 section 4.2).
pub const PROOF_TYPE: &str = "dpop+jwt";

/// Claims of a DPoP proof (RFC 9449 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofClaims {
    /// Unique to this proof.
    pub jti: String,
    /// HTTP method, upper case.
    pub htm: String,
    /// URL without query and fragment.
    pub htu: String,
    /// The nonce the server gave last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// SHA-256 of the token presented with the proof, base64url without padding.
    pub ath: String,
}

/// A public Ed25519 key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// The key's 32 bytes, base64url without padding.
    pub x: String,
    /// The key's name, in a set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

impl Jwk {
    /// The Ed25519 key whose 32 bytes are `x` in base64url.
    pub fn ed25519(x: String, kid: Option<String>) -> Self {
        Self { kty: "OKP".into(), crv: "Ed25519".into(), x, kid }
    }

    /// The JSON whose SHA-256 is this key's thumbprint (RFC 7638 section 3.2, RFC 8037 section 2): required members, in order, no spaces.
    pub fn thumbprint_input(&self) -> String {
        format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x)
    }
}

/// A set of public keys (RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Jwks {
    /// The keys, newest first.
    pub keys: Vec<Jwk>,
}
