//! Identifiers. Each kind is a type of its own, made by parsing or from random bytes, never from a bare string.
//!
//! The text form is `<prefix>_<20 characters>` in Crockford's base32, lower case: 100 random bits, safe in a URL,
//! in a label of any provider and (without the prefix) in a host name.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters after the prefix: 20 × 5 bits = 100 bits.
const BODY_CHARS: usize = 20;
/// Random bytes an identifier is made from (100 bits of these 104 are used).
pub const ID_ENTROPY_BYTES: usize = 13;

/// What an [`Id`] names.
pub trait Kind: 'static {
    /// The text before the underscore.
    const PREFIX: &'static str;
    /// The word for error messages.
    const NAME: &'static str;
}

/// An identifier of one kind.
pub struct Id<K: Kind> {
    body: [u8; BODY_CHARS],
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Id<K> {
    /// Makes an identifier from random bytes.
    pub fn from_entropy(entropy: [u8; ID_ENTROPY_BYTES]) -> Self {
        let mut bits: u128 = 0;
        for byte in entropy {
            bits = (bits << 8) | u128::from(byte);
        }
        let body = std::array::from_fn(|place| {
            let index = (bits >> (5 * place)) & 31;
            ALPHABET.get(index as usize).copied().unwrap_or(b'0')
        });
        Self { body, kind: PhantomData }
    }

    /// The characters after the prefix: lower-case letters and digits, valid within a host name.
    pub fn body(&self) -> &str {
        // The body holds only characters of ALPHABET, all ASCII.
        std::str::from_utf8(&self.body).unwrap_or_default()
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: K::NAME };
        let body = text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or(invalid)?;
        let body: [u8; BODY_CHARS] = body.as_bytes().try_into().map_err(|_| invalid)?;
        if body.iter().all(|c| ALPHABET.contains(c)) { Ok(Self { body, kind: PhantomData }) } else { Err(invalid) }
    }
}

/// A text that is not an identifier of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidId {
    kind: &'static str,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid {} id", self.kind)
    }
}

impl std::error::Error for InvalidId {}

impl<K: Kind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: Kind> Copy for Id<K> {}
impl<K: Kind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.body == other.body
    }
}
impl<K: Kind> Eq for Id<K> {}
impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.body.cmp(&other.body)
    }
}
impl<K: Kind> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.body.hash(state);
    }
}
impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", K::PREFIX, self.body())
    }
}
impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl<K: Kind> schemars::JsonSchema for Id<K> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}Id", K::NAME).into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": format!("^{}_[0-9a-hjkmnp-tv-z]{{20}}$", K::PREFIX) })
    }
}

/// The kinds of identifiers.
pub mod kind {
    use super::Kind;

    /// Declares one kind: a type without values.
    macro_rules! kinds {
        ($($(#[$doc:meta])* $kind:ident = $prefix:literal, $name:literal;)*) => {
            $($(#[$doc])* pub enum $kind {}
            impl Kind for $kind {
                const PREFIX: &'static str = $prefix;
                const NAME: &'static str = $name;
            })*
        };
    }
    kinds! {
        /// A person.
        User = "usr", "user";
        /// A group of users.
        Tenant = "ten", "tenant";
        /// A VM that we asked a provider for.
        Node = "nod", "node";
        /// A container on a node.
        Workspace = "wsp", "workspace";
        /// A user's key for a provider.
        Credential = "crd", "credential";
        /// A signed-in browser.
        Session = "ses", "session";
        /// A long-lived token for the HTTP API.
        ApiToken = "tok", "API token";
        /// One issued JWT.
        Jwt = "jwt", "token";
        /// One sign-in link.
        SignInLink = "lnk", "sign-in link";
        /// A token that opens one view of a dedicated node.
        GatewayToken = "gwt", "gateway token";
        /// One viewer of a terminal: chosen by the browser, kept across reconnections.
        Viewer = "vwr", "viewer";
    }
}

/// Names a gateway token.
pub type GatewayTokenId = Id<kind::GatewayToken>;
/// Names a user.
pub type UserId = Id<kind::User>;
/// Names a tenant.
pub type TenantId = Id<kind::Tenant>;
/// Names a node. Ours; the provider's own name for the machine is the *provider instance id*.
pub type NodeId = Id<kind::Node>;
/// Names a workspace.
pub type WorkspaceId = Id<kind::Workspace>;
/// Names a credential.
pub type CredentialId = Id<kind::Credential>;
/// Names a session.
pub type SessionId = Id<kind::Session>;
/// Names an API token.
pub type ApiTokenId = Id<kind::ApiToken>;
/// Names one issued JWT (`jti`, RFC 7519 section 4.1.7).
pub type JwtId = Id<kind::Jwt>;
/// Names a sign-in link.
pub type SignInLinkId = Id<kind::SignInLink>;
/// Names a viewer of a terminal.
pub type ViewerId = Id<kind::Viewer>;

/// What a right to act was derived from, and so what revokes it: a session or an API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum GrantId {
    /// A signed-in browser.
    Session(SessionId),
    /// An API token.
    ApiToken(ApiTokenId),
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => id.fmt(f),
            Self::ApiToken(id) => id.fmt(f),
        }
    }
}

impl FromStr for GrantId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().map(Self::Session).or_else(|_| text.parse().map(Self::ApiToken))
    }
}
