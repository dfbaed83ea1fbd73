//! The one place of this crate that asks what the time is.

use std::time::{SystemTime, UNIX_EPOCH};

use ringfence_protocol::time::UnixMillis;

/// Now, as the file system keeps time.
#[expect(clippy::disallowed_methods, reason = "this module owns the clock")]
pub fn system_now() -> SystemTime {
    SystemTime::now()
}

/// Now.
pub fn now() -> UnixMillis {
    let since_epoch = system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
