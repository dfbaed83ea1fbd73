//! An instant, as every part of Ringfence passes it: whole milliseconds since the Unix epoch inside, RFC 3339 in UTC on the wire.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The last instant that has an RFC 3339 text at every offset, 9999-12-30T22:00:00Z: `jiff` refuses later ones, and one
/// written as the epoch instead would be read back as long ago.
const LAST: i64 = 253_402_207_200_000;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(i64);

impl UnixMillis {
    /// The instant that many milliseconds after the epoch; outside the years 1970–9999 the nearest one within.
    pub const fn new(millis: i64) -> Self {
        Self(if millis < 0 {
            0
        } else if millis > LAST {
            LAST
        } else {
            millis
        })
    }

    /// The instant that many seconds after the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self::new(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0 / 1000
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl Add<Duration> for UnixMillis {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self::new(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(LAST)))
    }
}

impl Sub<Duration> for UnixMillis {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self::new(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(LAST)))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        write!(f, "{instant:.3}")
    }
}

impl fmt::Debug for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let instant = jiff::Timestamp::deserialize(deserializer)?;
        Ok(Self::new(instant.as_millisecond()))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for UnixMillis {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}
