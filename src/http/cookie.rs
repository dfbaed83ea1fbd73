//! The session cookie. The `__Host-` prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis section 4.1.3).

use http::header::{self, HeaderMap, HeaderValue};
use ringfence_protocol::time::UnixMillis;

use crate::error::{Error, Result};

const NAME: &str = "__Host-session";

/// The session token of a request, if it has one. Two cookies of the name are none: nobody may smuggle a second one in.
pub fn read(headers: &HeaderMap) -> Option<&str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == NAME)
        .map(|(_, value)| value);
    let first = found.next()?;
    if found.next().is_some() { None } else { Some(first) }
}

/// Sets the session cookie until the session's end.
pub fn set(token: &str, now: UnixMillis, expires_at: UnixMillis) -> Result<HeaderValue> {
    let max_age = expires_at.since(now).as_secs();
    header_value(&format!("{NAME}={token}; Max-Age={max_age}; Path=/; Secure; HttpOnly; SameSite=Lax"))
}

/// Removes the session cookie.
pub fn clear() -> Result<HeaderValue> {
    header_value(&format!("{NAME}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"))
}

fn header_value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::internal("a session token is not a header value"))
}
