//! What an installation gives a container, and the most that can be asked for: defaults and ceilings.
//!
//! The defaults are a small developer's machine: one processor, 2 GiB of memory, 5 GiB of disk; 512 processes are room for a
//! compiler and a language server, and far too few for a fork bomb to be felt on the machine. The ceilings bound what one
//! request can order in its owner's account.

use ringfence_protocol::container::is_from;
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
        image_registries: Vec::new(),
        cpu_millis: CPU_MILLIS,
        memory_bytes: MEMORY_BYTES,
        disk_bytes: DISK_BYTES,
        pids: PIDS,
        network: Bound { default: NetworkMode::Internet, max: NetworkMode::Internet },
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
    let image_registries =
        text("RINGFENCE_IMAGE_REGISTRIES").as_deref().map(registries).transpose()?.unwrap_or_default();
    if !is_from(image::name_of(&image), &image_registries) {
        return Err(InvalidConfig(format!(
            "RINGFENCE_IMAGE_REGISTRIES: the default image {image} is from none of them"
        )));
    }
    let network = network(&text)?;
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
        image_registries,
        cpu_millis: small("RINGFENCE_CPU_LIMIT_MILLIS", CPU_MILLIS, MIN_CPU_MILLIS)?,
        memory_bytes: bound("RINGFENCE_MEMORY_LIMIT_BYTES", MEMORY_BYTES, MIN_MEMORY_BYTES)?,
        disk_bytes: bound("RINGFENCE_DISK_QUOTA_BYTES", DISK_BYTES, MIN_DISK_BYTES)?,
        pids: small("RINGFENCE_PIDS_LIMIT", PIDS, MIN_PIDS)?,
        network,
    })
}

/// Registries at most: each workspace's container carries them.
const MAX_REGISTRIES: usize = 32;

/// Registries, or the first parts of images' names, separated by commas.
fn registries(text: &str) -> Result<Vec<String>, InvalidConfig> {
    let entries: Vec<String> =
        text.split(',').map(|entry| entry.trim().trim_end_matches('/').to_ascii_lowercase()).collect();
    for entry in &entries {
        // What is one stays as it is where the rest of a name follows it.
        if image::normalised(&format!("{entry}/a/b")) != Ok(format!("{entry}/a/b:latest")) {
            return Err(InvalidConfig(format!(
                "RINGFENCE_IMAGE_REGISTRIES: `{entry}` is neither a registry such as `ghcr.io` nor the beginning of an image's full name such as `docker.io/library`"
            )));
        }
    }
    if entries.len() > MAX_REGISTRIES {
        return Err(InvalidConfig(format!("RINGFENCE_IMAGE_REGISTRIES: at most {MAX_REGISTRIES}")));
    }
    Ok(entries)
}

/// What workspaces reach when nothing is asked, and at most.
fn network(text: impl Fn(&str) -> Option<String>) -> Result<Bound<NetworkMode>, InvalidConfig> {
    let mode = |name: &str| text(name).map_or(Ok(NetworkMode::Internet), |word| word.parse());
    let max = mode("RINGFENCE_NETWORK_MAX")
        .map_err(|_| InvalidConfig("RINGFENCE_NETWORK_MAX: `internet`, `restricted` or `none`".into()))?;
    match mode("RINGFENCE_NETWORK") {
        Ok(NetworkMode::Restricted) | Err(_) => Err(InvalidConfig(
            "RINGFENCE_NETWORK: `internet` or `none`; `restricted` needs domains, which each workspace names".into(),
        )),
        Ok(default) if default > max => Err(InvalidConfig(format!(
            "RINGFENCE_NETWORK: `{default}` is more than RINGFENCE_NETWORK_MAX, which is `{max}`"
        ))),
        Ok(default) => Ok(Bound { default, max }),
    }
}
