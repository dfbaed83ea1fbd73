//! Amounts of money: integers inside (millionths of the currency's unit), decimal strings on the wire, never floats.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount, as the HTTP API gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Money {
    /// A decimal number, e.g. `0.0066`.
    pub amount: String,
    /// ISO 4217 code, e.g. `EUR`.
    pub currency: String,
}

impl Money {
    /// The amount of that many millionths.
    pub fn from_micros(micros: i64, currency: impl Into<String>) -> Self {
        Self { amount: Micros(micros).to_string(), currency: currency.into() }
    }
}

/// Millionths of a currency's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// Reads a decimal number such as `0.0066000000`; digits beyond the millionth round up, so that a price is never understated.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let kept: String = fraction.chars().chain("000000".chars()).take(6).collect();
        let rest = fraction.get(6..).unwrap_or("");
        let micros = whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(kept.parse::<i64>().ok()?)?;
        let round_up = i64::from(rest.bytes().any(|b| b != b'0'));
        micros.checked_add(round_up).map(Self)
    }

    /// What something costs that is billed at this amount an hour, for that many milliseconds, rounded up.
    pub fn per_hour_for(self, millis: i64) -> Self {
        const HOUR_MILLIS: i128 = 3_600_000;
        let cost = (i128::from(self.0) * i128::from(millis.max(0)) + HOUR_MILLIS - 1) / HOUR_MILLIS;
        Self(i64::try_from(cost).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        let digits = format!("{fraction:06}");
        let shortest = digits.trim_end_matches('0');
        // Two digits at least: 0.50 rather than 0.5.
        write!(f, "{sign}{whole}.{shortest:0<2}")
    }
}
