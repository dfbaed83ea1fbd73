//! A user's key for a provider, in the clear for as long as a call takes (I12).

use ringfence_protocol::params::SecretText;
use zeroize::Zeroizing;

/// A key. It cannot be printed, compared or serialised, and is wiped when it is dropped.
pub struct ProviderKey(Zeroizing<String>);

impl ProviderKey {
    /// Takes a key as a person pasted it: white space around it is not part of it.
    pub fn new(secret: &SecretText) -> Self {
        Self(Zeroizing::new(secret.expose().trim().to_owned()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}
