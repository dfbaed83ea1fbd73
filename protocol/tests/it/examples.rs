//! Values that the golden tests pin, and how they are pinned.

use std::fmt::Write;

use ringfence_protocol::ids::{ID_ENTROPY_BYTES, Id, Kind};
use ringfence_protocol::link::Facts;
use ringfence_protocol::money::Money;
use ringfence_protocol::time::UnixMillis;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An identifier whose random bytes are all `seed`.
pub(crate) fn id<K: Kind>(seed: u8) -> Id<K> {
    Id::from_entropy([seed; ID_ENTROPY_BYTES])
}

/// An instant: that many seconds after 2026-11-22T08:00:00.250Z.
pub(crate) fn at(secs: i64) -> UnixMillis {
    UnixMillis::new(1_795_334_400_250 + secs * 1000)
}

pub(crate) fn euros(micros: i64) -> Money {
    Money::from_micros(micros, "EUR")
}

pub(crate) fn facts() -> Facts {
    Facts {
        cpu_percent: 12.5,
        memory_percent: 40.25,
        memory_total_bytes: 4_294_967_296,
        disk_percent: 7.0,
        disk_total_bytes: 42_949_672_960,
        measured_at: at(30),
    }
}

/// The text of a snapshot: each value as JSON under a heading.
#[derive(Default)]
pub(crate) struct Pinned(String);

impl Pinned {
    /// Adds a value, after making sure that reading what was written gives the same again.
    pub(crate) fn json<T: Serialize + DeserializeOwned>(&mut self, name: &str, value: &T) {
        let text = serde_json::to_string_pretty(value).unwrap();
        let again: T = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string_pretty(&again).unwrap(), text, "{name} does not survive a round trip");
        self.line(name, &text);
    }

    /// Adds a text.
    pub(crate) fn line(&mut self, name: &str, text: &str) {
        writeln!(self.0, "{name}: {text}").unwrap();
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}
