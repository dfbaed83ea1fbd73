//! Same-origin proof. Browsers send `Origin` with every request that changes something and with every WebSocket upgrade;
//! it must be one of the configured ones, to the letter. `same-site` is not enough: other Workers of the account are that.

use http::header::{self, HeaderMap};
use ringfence_protocol::problem::ErrorCode;

use crate::error::{Error, Result};

/// Refuses a request without one of our origins.
pub fn require(headers: &HeaderMap, origins: &[String]) -> Result<()> {
    if matches(headers, origins) == Some(true) { Ok(()) } else { Err(cross_origin()) }
}

/// Refuses a request with another's origin; one without any is no browser's (used where the credential is not sent by itself).
pub fn refuse_foreign(headers: &HeaderMap, origins: &[String]) -> Result<()> {
    if matches(headers, origins) == Some(false) { Err(cross_origin()) } else { Ok(()) }
}

/// Which of our origins a request comes from; none if it does not say, or says another's.
pub fn of<'a>(headers: &HeaderMap, origins: &'a [String]) -> Option<&'a str> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    let (first, second) = (given.next()?, given.next());
    let known = origins.iter().find(|origin| origin.as_bytes() == first.as_bytes());
    known.filter(|_| second.is_none()).map(String::as_str)
}

fn matches(headers: &HeaderMap, origins: &[String]) -> Option<bool> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    let first = given.next()?;
    let known = origins.iter().any(|origin| origin.as_bytes() == first.as_bytes());
    Some(known && given.next().is_none())
}

fn cross_origin() -> Error {
    Error::new(ErrorCode::CrossOrigin, "The request's Origin header is not this site's. Nothing was changed.")
}
