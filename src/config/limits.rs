//! Limits of users, tenants and the installation as variables: `RINGFENCE_LIMIT_<SCOPE>_<MEASURE>`.

use ringfence_protocol::money::Micros;
use ringfence_protocol::state::{LimitMeasure, LimitScope};

use super::InvalidConfig;
use crate::domain::quota::{Configured, is_money};

/// The database has no larger numbers on the wire.
const LARGEST: i64 = 1 << 52;

/// A limit's amount as people write it: a whole number, or an amount of money such as `0.50`, in millionths then.
pub fn amount(measure: LimitMeasure, text: &str) -> Option<i64> {
    let amount = if is_money(measure) { Micros::parse(text)?.0 } else { text.parse().ok()? };
    (0..=LARGEST).contains(&amount).then_some(amount)
}

/// Reads what is set.
pub(super) fn read(text: impl Fn(&str) -> Option<String>) -> Result<Configured, InvalidConfig> {
    let mut limits = Configured::default();
    for scope in LimitScope::ALL {
        for measure in LimitMeasure::ALL {
            let name = format!("RINGFENCE_LIMIT_{scope}_{measure}").to_ascii_uppercase();
            let Some(value) = text(&name) else { continue };
            let what = if is_money(*measure) { "an amount such as 0.50" } else { "a whole number" };
            let amount = amount(*measure, &value).ok_or_else(|| InvalidConfig(format!("{name}: {what}")))?;
            limits.put(*scope, *measure, amount);
        }
    }
    Ok(limits)
}
