//! Checks of texts that people give.

use ringfence_protocol::problem::ErrorCode;

use crate::error::{Error, Result};

/// Longest name of a thing, in characters.
const MAX_NAME_CHARS: usize = 64;

/// A name for people: trimmed, 1 to 64 characters, none of them a control character.
pub fn display_name(field: &str, text: &str) -> Result<String> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(Error::new(
            ErrorCode::InvalidBody,
            format!("{field}: 1 to {MAX_NAME_CHARS} characters, without control characters."),
        ));
    }
    Ok(name.to_owned())
}
