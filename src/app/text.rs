//! Checks of texts that people give.

use ringfence_protocol::problem::ErrorCode;

use crate::error::{Error, Result};

/// Longest name of a thing, in characters.
const MAX_NAME_CHARS: usize = 64;

/// A name for people: trimmed, 1 to 64 characters, none of them a control character.
pub fn display_name(field: &str, text: &str) -> Result<String> {
    display_text(field, text, MAX_NAME_CHARS)
}

/// A line for people: trimmed, 1 to `max_chars` characters, none of them a control character.
pub fn display_text(field: &str, text: &str, max_chars: usize) -> Result<String> {
    let line = text.trim();
    if line.is_empty() || line.chars().count() > max_chars || line.chars().any(char::is_control) {
        return Err(Error::new(
            ErrorCode::InvalidBody,
            format!("{field}: 1 to {max_chars} characters, without control characters."),
        ));
    }
    Ok(line.to_owned())
}
