//! A new workspace's container: what its owner asked for, checked and completed, within what the installation allows.
//!
//! One function, total and pure: the same question gets the same container or the same complaint. What passes here is small
//! enough for one message of the link, and holds nothing that an agent or an engine would read as something else.

use std::collections::BTreeMap;

use ringfence_protocol::container::{ContainerSpec, RegistryLogin, WorkspaceSecrets, is_from};
use ringfence_protocol::params::{CreateWorkspaceParams, SecretText};
use ringfence_protocol::state::NetworkMode;
use serde::{Deserialize, Serialize};

use self::network::{allowed_domains, repository};
use super::image;

mod network;

/// The least memory a workspace can be asked to run in: a shell and little else.
pub const MIN_MEMORY_BYTES: u64 = 64 << 20;
/// The smallest file system that is worth making.
pub const MIN_DISK_BYTES: u64 = 256 << 20;
/// The least processor time: a tenth of a processor.
pub const MIN_CPU_MILLIS: u32 = 100;
/// The fewest processes: a shell, its children, and a terminal or two.
pub const MIN_PIDS: u32 = 16;

/// What of a machine's memory its own system, engine and agent need.
const HOST_MEMORY_BYTES: u64 = 512 << 20;
/// What of a machine's disk its own system and the images need.
const HOST_DISK_BYTES: u64 = 8 << 30;

/// Environment variables at most.
const MAX_ENV: usize = 100;
/// Names and values of all of them together, in bytes.
const MAX_ENV_BYTES: usize = 16 * 1024;
/// Longest name of an environment variable, in bytes.
const MAX_ENV_NAME_BYTES: usize = 128;
/// Secrets at most.
const MAX_SECRETS: usize = 32;
/// Names and values of all secrets together, in bytes.
const MAX_SECRETS_BYTES: usize = 16 * 1024;
/// Longest name of a secret, in bytes: it is a file's.
const MAX_SECRET_NAME_BYTES: usize = 64;
/// Longest user name for a registry, in bytes.
const MAX_USERNAME_BYTES: usize = 256;
/// Longest password for a registry, in bytes: clouds' tokens have a few thousand.
const MAX_PASSWORD_BYTES: usize = 8 * 1024;
/// The container as it crosses the link, in bytes of JSON.
pub const MAX_SPEC_BYTES: usize = 28 * 1024;
/// Its secrets as they cross the link, in bytes of JSON. Both, and what goes around them, stay below the 64 KiB of a message.
pub const MAX_SECRETS_JSON_BYTES: usize = 30 * 1024;

/// What an installation gives a container that asks for nothing, and the most that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The image.
    pub image: String,
    /// Where images may come from: registries, or the first parts of images' names. Empty: from anywhere.
    pub image_registries: Vec<String>,
    /// Processor time, in thousandths.
    pub cpu_millis: Bound<u32>,
    /// Memory.
    pub memory_bytes: Bound<u64>,
    /// Disk.
    pub disk_bytes: Bound<u64>,
    /// Processes and threads.
    pub pids: Bound<u32>,
    /// What it reaches.
    pub network: Bound<NetworkMode>,
}

/// A value when nothing is asked, and the largest that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound<T> {
    /// When nothing is asked.
    pub default: T,
    /// At most.
    pub max: T,
}

/// A workspace's container, as its row holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// What the agent is asked to make.
    pub spec: ContainerSpec,
    /// Names of its secrets; their values are sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// What a machine must have for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Processors.
    pub cpus: u32,
    /// Memory, the machine's own share included.
    pub memory_bytes: u64,
    /// Disk, the machine's own share included.
    pub disk_bytes: u64,
}

/// Why a container cannot be asked for, in a sentence that begins with the parameter's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is not valid, in itself or with the others.
    Invalid(String),
    /// It is more than the installation allows.
    Ceiling(String),
}

/// What came of a request: a container, and what of it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The container.
    pub container: Container,
    /// Its secrets.
    pub secrets: WorkspaceSecrets,
}

impl Container {
    /// What a machine must have for it. Limits are not reservations: several workspaces may share what one may use up.
    pub fn need(&self) -> Need {
        Need {
            cpus: self.spec.cpu_limit_millis.div_ceil(1000),
            memory_bytes: self.spec.memory_limit_bytes.saturating_add(HOST_MEMORY_BYTES),
            disk_bytes: self.spec.disk_quota_bytes.saturating_add(HOST_DISK_BYTES),
        }
    }
}

/// The container that was asked for.
pub fn ask(params: &CreateWorkspaceParams, limits: &Limits) -> Result<Asked, Refused> {
    let reference = params.image.as_deref().unwrap_or(&limits.image);
    let image = image::normalised(reference).map_err(|complaint| invalid("image", complaint))?;
    if !is_from(image::name_of(&image), &limits.image_registries) {
        return Err(Refused::Ceiling(format!(
            "image: {image} is not from where images may come from in this installation: {}.",
            limits.image_registries.join(", ")
        )));
    }
    let network = network_mode(params.network, limits.network)?;
    let allowed_domains = allowed_domains(params.allowed_domains.as_deref(), network)?;
    let repository = repository(params.repository.as_ref(), network, &allowed_domains)?;
    let spec = ContainerSpec {
        image,
        image_registries: limits.image_registries.clone(),
        cpu_limit_millis: cpu_millis(params.cpu_limit, limits.cpu_millis)?,
        memory_limit_bytes: bytes(
            "memory_limit_bytes",
            params.memory_limit_bytes,
            MIN_MEMORY_BYTES,
            limits.memory_bytes,
        )?,
        disk_quota_bytes: bytes("disk_quota_bytes", params.disk_quota_bytes, MIN_DISK_BYTES, limits.disk_bytes)?,
        pids_limit: pids(params.pids_limit, limits.pids)?,
        network,
        allowed_domains,
        repository,
        env: env(params.env.as_ref())?,
    };
    if json_len(&spec) > MAX_SPEC_BYTES {
        return Err(invalid("env", "with the other parameters, more than fits into 28 KiB of JSON"));
    }
    let secrets = WorkspaceSecrets {
        registry_login: params.registry_login.as_ref().map(registry_login).transpose()?,
        files: secret_files(params.secrets.as_ref())?,
    };
    if json_len(&secrets) > MAX_SECRETS_JSON_BYTES {
        return Err(invalid("secrets", "with the registry login, more than fits into 30 KiB of JSON"));
    }
    let names = secrets.files.keys().cloned().collect();
    Ok(Asked { container: Container { spec, secrets: names }, secrets })
}

/// The same where workspaces are plain processes: what only a container can hold must not be asked for and then ignored.
pub fn ask_nothing(params: &CreateWorkspaceParams) -> Result<(), Refused> {
    let asked = [
        ("image", params.image.is_some()),
        ("cpu_limit", params.cpu_limit.is_some()),
        ("memory_limit_bytes", params.memory_limit_bytes.is_some()),
        ("disk_quota_bytes", params.disk_quota_bytes.is_some()),
        ("pids_limit", params.pids_limit.is_some()),
        ("network", params.network.is_some()),
        ("allowed_domains", params.allowed_domains.is_some()),
        ("repository", params.repository.is_some()),
        ("env", params.env.is_some()),
        ("secrets", params.secrets.is_some()),
        ("registry_login", params.registry_login.is_some()),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((name, _)) => Err(invalid(
            name,
            "this installation runs workspaces unconfined, as plain processes without containers, so this would not be honoured",
        )),
        None => Ok(()),
    }
}

fn invalid(name: &str, complaint: &str) -> Refused {
    Refused::Invalid(format!("{name}: {complaint}."))
}

fn ceiling(name: &str, most: impl std::fmt::Display) -> Refused {
    Refused::Ceiling(format!("{name}: at most {most} in this installation."))
}

fn cpu_millis(asked: Option<f64>, bound: Bound<u32>) -> Result<u32, Refused> {
    let Some(cpus) = asked else { return Ok(bound.default) };
    let hundredths = (cpus * 100.0).round();
    // Rounding a decimal fraction to binary and back leaves less than this.
    if !cpus.is_finite() || (cpus * 100.0 - hundredths).abs() > 1e-6 || hundredths < f64::from(MIN_CPU_MILLIS / 10) {
        return Err(invalid("cpu_limit", "processors in hundredths, at least 0.1, e.g. 1.5"));
    }
    if hundredths > f64::from(bound.max / 10) {
        return Err(ceiling("cpu_limit", f64::from(bound.max) / 1000.0));
    }
    // In range by now: at most the ceiling's hundredths.
    Ok(hundredths as u32 * 10)
}

fn bytes(name: &str, asked: Option<u64>, min: u64, bound: Bound<u64>) -> Result<u64, Refused> {
    match asked {
        None => Ok(bound.default),
        Some(asked) if asked < min => Err(invalid(name, &format!("at least {min} ({} MiB)", min >> 20))),
        Some(asked) if asked > bound.max => Err(ceiling(name, bound.max)),
        Some(asked) => Ok(asked),
    }
}

fn network_mode(asked: Option<NetworkMode>, bound: Bound<NetworkMode>) -> Result<NetworkMode, Refused> {
    match asked {
        None => Ok(bound.default),
        // Their order is what they reach: nothing, some domains, the internet.
        Some(asked) if asked > bound.max => {
            Err(Refused::Ceiling(format!("network: `{}` at most in this installation.", bound.max)))
        }
        Some(asked) => Ok(asked),
    }
}

fn pids(asked: Option<u32>, bound: Bound<u32>) -> Result<u32, Refused> {
    match asked {
        None => Ok(bound.default),
        Some(asked) if asked < MIN_PIDS => Err(invalid("pids_limit", &format!("at least {MIN_PIDS}"))),
        Some(asked) if asked > bound.max => Err(ceiling("pids_limit", bound.max)),
        Some(asked) => Ok(asked),
    }
}

fn env(asked: Option<&BTreeMap<String, String>>) -> Result<BTreeMap<String, String>, Refused> {
    let Some(asked) = asked else { return Ok(BTreeMap::new()) };
    if asked.len() > MAX_ENV {
        return Err(invalid("env", "at most 100 variables"));
    }
    for (name, value) in asked {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first = name.bytes().next().is_some_and(|b| word(b) && !b.is_ascii_digit());
        if !first || name.len() > MAX_ENV_NAME_BYTES || !name.bytes().all(word) {
            return Err(invalid("env", "names are 1 to 128 letters, digits and _, not beginning with a digit"));
        }
        if value.contains('\0') {
            return Err(invalid("env", "a value cannot hold a NUL character"));
        }
    }
    if asked.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_ENV_BYTES {
        return Err(invalid("env", "at most 16 KiB, names and values together"));
    }
    Ok(asked.clone())
}

fn secret_files(asked: Option<&BTreeMap<String, SecretText>>) -> Result<BTreeMap<String, SecretText>, Refused> {
    let Some(asked) = asked else { return Ok(BTreeMap::new()) };
    if asked.len() > MAX_SECRETS {
        return Err(invalid("secrets", "at most 32"));
    }
    for name in asked.keys() {
        let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !(1..=MAX_SECRET_NAME_BYTES).contains(&name.len()) || !valid || name.starts_with(['.', '-']) {
            return Err(invalid(
                "secrets",
                "names are 1 to 64 letters, digits, ., _ and -, not beginning with . or -: each is a file's",
            ));
        }
    }
    if asked.iter().map(|(name, value)| name.len() + value.expose().len()).sum::<usize>() > MAX_SECRETS_BYTES {
        return Err(invalid("secrets", "at most 16 KiB, names and values together"));
    }
    Ok(asked.clone())
}

fn registry_login(asked: &RegistryLogin) -> Result<RegistryLogin, Refused> {
    let (username, password) = (asked.username.as_str(), asked.password.expose());
    let printable = username.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !(1..=MAX_USERNAME_BYTES).contains(&username.len()) || !printable {
        return Err(invalid("registry_login", "a user name is 1 to 256 visible ASCII characters without a colon"));
    }
    if !(1..=MAX_PASSWORD_BYTES).contains(&password.len()) || password.chars().any(char::is_control) {
        return Err(invalid("registry_login", "a password is 1 to 8192 bytes without control characters"));
    }
    Ok(asked.clone())
}

/// Bytes of a value as JSON. What cannot be written is longer than anything allowed.
fn json_len(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}
