//! What an installation gives a container, and the most that can be asked for: defaults and ceilings.
//!
//! The defaults are a small developer's machine: one processor, 2 GiB of memory, 5 GiB of disk; 512 processes are room for a
//! compiler and a language server, and far too few for a fork bomb to be felt on the machine. The ceilings bound what one
//! request can order in its owner's account.

use ringfence_protocol::state::NetworkMode;

use super::InvalidConfig;
use crate::domain::container::{Bound, Limits, MIN_CPU_MILLIS, MIN_DISK_BYTES, MIN_MEMORY_BYTES, MIN_PIDS};
use crate::domain::image;

/// An image with git, curl, certificates and the tools people expect of a shell, in Debian's own build.
pub const IMAGE: &str = "docker.io/library/buildpack-deps:bookworm-scm";
/// One processor; at most sixteen.
pub const CPU_MILLIS: Bound<u32> = Bound { default: 1_000, max: 16_000 };
/// 2 GiB; at most 64 GiB.
pub const MEMORY_BYTES: Bound<u64> = Bound { default: 2 << 30, max: 64 << 30 };
/// 5 GiB; at most 100 GiB.
pub const DISK_BYTES: Bound<u64> = Bound { default: 5 << 30, max: 100 << 30 };
/// 512; at most 4096.
pub const PIDS: Bound<u32> = Bound { default: 512, max: 4_096 };

/// What an installation starts from.
pub(super) fn default_limits() -> Limits {
    Limits {
        image: IMAGE.into(),
        cpu_millis: CPU_MILLIS,
        memory_bytes: MEMORY_BYTES,
        disk_bytes: DISK_BYTES,
        pids: PIDS,
        network: NetworkMode::Internet,
    }
}

/// Reads what is set.
pub(super) fn read(
    text: impl Fn(&str) -> Option<String>,
    number: impl Fn(&str) -> Result<Option<u64>, InvalidConfig>,
) -> Result<Limits, InvalidConfig> {
    let defaults = default_limits();
    let image = match text("RINGFENCE_DEFAULT_IMAGE") {
        Some(reference) => image::normalised(&reference)
            .map_err(|complaint| InvalidConfig(format!("RINGFENCE_DEFAULT_IMAGE: {complaint}")))?,
        None => defaults.image,
    };
    let network = match text("RINGFENCE_NETWORK").map(|word| word.parse()) {
        None => defaults.network,
        Some(Ok(network @ (NetworkMode::None | NetworkMode::Internet))) => network,
        Some(Ok(NetworkMode::Restricted) | Err(_)) => {
            return Err(InvalidConfig(
                "RINGFENCE_NETWORK: `internet` or `none`; `restricted` needs domains, which each workspace names"
                    .into(),
            ));
        }
    };
    let bound = |name: &str, known: Bound<u64>, min: u64| -> Result<Bound<u64>, InvalidConfig> {
        let max_name = format!("{name}_MAX");
        let bound =
            Bound { default: number(name)?.unwrap_or(known.default), max: number(&max_name)?.unwrap_or(known.max) };
        if bound.default < min || bound.default > bound.max {
            return Err(InvalidConfig(format!("{name}: from {min} to {max_name}, which is {}", bound.max)));
        }
        // The database has no larger numbers on the wire.
        if bound.max > 1 << 52 {
            return Err(InvalidConfig(format!("{max_name}: too large a number")));
        }
        Ok(bound)
    };
    let small = |name: &str, known: Bound<u32>, min: u32| -> Result<Bound<u32>, InvalidConfig> {
        let wide = Bound { default: u64::from(known.default), max: u64::from(known.max) };
        let Bound { default, max } = bound(name, wide, u64::from(min))?;
        let narrow = |value: u64| {
            u32::try_from(value).map_err(|_| InvalidConfig(format!("{name} or {name}_MAX: too large a number")))
        };
        Ok(Bound { default: narrow(default)?, max: narrow(max)? })
    };
    Ok(Limits {
        image,
        cpu_millis: small("RINGFENCE_CPU_LIMIT_MILLIS", CPU_MILLIS, MIN_CPU_MILLIS)?,
        memory_bytes: bound("RINGFENCE_MEMORY_LIMIT_BYTES", MEMORY_BYTES, MIN_MEMORY_BYTES)?,
        disk_bytes: bound("RINGFENCE_DISK_QUOTA_BYTES", DISK_BYTES, MIN_DISK_BYTES)?,
        pids: small("RINGFENCE_PIDS_LIMIT", PIDS, MIN_PIDS)?,
        network,
    })
}
