//! A text that must not be printed or written by accident (I12).

use zeroize::Zeroizing;

/// A token. It has no `Debug`, `Display` or `Serialize`, and its memory is cleared when it goes.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret into custody.
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret itself. Every call is a place to look at.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
