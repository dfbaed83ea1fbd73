//! What a VM boots with: a cloud-config document made from typed values and serialised as JSON, which is valid YAML. There
//! is no template, so nothing can be injected through a value.
//!
//! ```text
//! bootcmd      install.sh writes the files that are its arguments ─▶ boot.sh: firewall, ssh, timers; else power off
//! write_files  agent.json, the agent's unit, fetch.sh
//! runcmd       fetch.sh: the agent by its digest, an engine where there is none, start; else report and power off
//! ```
//! The files are those of `cloud-init/`, without their comments.

use ringfence_protocol::agent_config::{AGENT_CONFIG_PATH, AgentConfig, EngineConfig};
use serde::Serialize;

/// The most that providers take, in bytes (EC2's limit is the smallest).
pub const MAX_USER_DATA_BYTES: usize = 16 * 1024;

/// Scripts are run by `sh FILE`, so they need no execute bit.
const FETCH_SCRIPT_PATH: &str = "/usr/local/lib/ringfence/fetch";
const AGENT_UNIT_PATH: &str = "/etc/systemd/system/vm-agent.service";

/// What the machine needs before write_files.
const EARLY_FILES: [(&str, &str); 7] = [
    ("/usr/local/lib/ringfence/steps", include_str!("../../cloud-init/steps.sh")),
    ("/usr/local/lib/ringfence/boot", include_str!("../../cloud-init/boot.sh")),
    ("/usr/local/lib/ringfence/firewall", include_str!("../../cloud-init/firewall.sh")),
    ("/usr/local/lib/ringfence/fail", include_str!("../../cloud-init/fail.sh")),
    ("/etc/ringfence/firewall.v4", include_str!("../../cloud-init/firewall.v4")),
    ("/etc/ringfence/firewall.v6", include_str!("../../cloud-init/firewall.v6")),
    ("/etc/systemd/system/ringfence-firewall.service", include_str!("../../cloud-init/ringfence-firewall.service")),
];

/// Modules of cloud-init that run: those that make the machine itself work, and ours. Left out are those that make users, keys and
/// passwords, or install and configure what nobody asked for.
const INIT_MODULES: [&str; 9] = [
    "bootcmd",
    "write_files",
    "growpart",
    "resizefs",
    "mounts",
    "set_hostname",
    "update_hostname",
    "update_etc_hosts",
    "ca_certs",
];
const CONFIG_MODULES: [&str; 1] = ["runcmd"];
const FINAL_MODULES: [&str; 2] = ["scripts_user", "final_message"];

/// What is said to a node's machine.
pub struct Boot<'a> {
    /// The agent's configuration, with its bootstrap token.
    pub agent: &'a AgentConfig,
    /// SHA-256 of the agent's binary, lower-case hex: the machine runs no other.
    pub agent_sha256: &'a str,
}

/// The parts of cloud-init's cloud-config that we use.
#[derive(Serialize)]
struct CloudConfig<'a> {
    /// Making locales takes seconds and nobody reads them here.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<bool>,
    /// No password opens this machine.
    ssh_pwauth: bool,
    #[serde(flatten)]
    machine: Option<Machine<'a>>,
    write_files: Vec<WriteFile>,
}

/// What only a machine of its own is told.
#[derive(Serialize)]
struct Machine<'a> {
    bootcmd: Vec<Vec<String>>,
    disable_root: bool,
    package_update: bool,
    package_upgrade: bool,
    /// A provider's vendor-data sets passwords and opens ssh.
    vendor_data: VendorData,
    cloud_init_modules: &'a [&'static str],
    cloud_config_modules: &'a [&'static str],
    cloud_final_modules: &'a [&'static str],
    runcmd: Vec<Vec<String>>,
}

#[derive(Serialize)]
struct VendorData {
    enabled: bool,
}

#[derive(Serialize)]
struct WriteFile {
    path: &'static str,
    owner: &'static str,
    permissions: &'static str,
    content: String,
}

/// The document cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserDataError {
    /// A value cannot be written as JSON.
    Unserialisable(String),
    /// Its bytes are more than a provider takes.
    TooLarge(usize),
    /// The agent's digest is not 64 lower-case hexadecimal digits: no machine could ever check it.
    InvalidDigest,
}

/// The user-data of a node.
pub fn cloud_config(boot: &Boot<'_>) -> Result<String, UserDataError> {
    let unserialisable = |error: serde_json::Error| UserDataError::Unserialisable(error.to_string());
    let mut document = CloudConfig {
        locale: Some(false),
        ssh_pwauth: false,
        machine: None,
        write_files: vec![WriteFile {
            path: AGENT_CONFIG_PATH,
            owner: "root:root",
            permissions: "0600",
            content: serde_json::to_string(boot.agent).map_err(unserialisable)?,
        }],
    };
    match boot.agent.engine {
        // The machine is a process that the local cloud starts: there is nothing to boot.
        EngineConfig::Unconfined => {}
        EngineConfig::Containers => {
            if !is_digest(boot.agent_sha256) {
                return Err(UserDataError::InvalidDigest);
            }
            // The module that would read it does not run.
            document.locale = None;
            document.machine = Some(machine(boot));
            document.write_files.extend([
                plain_file(AGENT_UNIT_PATH, include_str!("../../cloud-init/vm-agent.service")),
                plain_file(FETCH_SCRIPT_PATH, include_str!("../../cloud-init/fetch.sh")),
            ]);
        }
    }
    let text = format!("#cloud-config\n{}\n", serde_json::to_string(&document).map_err(unserialisable)?);
    if text.len() > MAX_USER_DATA_BYTES {
        return Err(UserDataError::TooLarge(text.len()));
    }
    Ok(text)
}

fn machine(boot: &Boot<'_>) -> Machine<'static> {
    let mut install: Vec<String> =
        vec!["sh".into(), "-c".into(), lean(include_str!("../../cloud-init/install.sh")), "install".into()];
    for (path, contents) in EARLY_FILES {
        install.extend([path.into(), lean(contents)]);
    }
    // Files of their own, read as data: no value of ours ever stands in a script.
    install.extend(["/etc/ringfence/origin".into(), boot.agent.origin.clone()]);
    install.extend(["/etc/ringfence/agent.sha256".into(), boot.agent_sha256.into()]);
    Machine {
        bootcmd: vec![install],
        disable_root: true,
        package_update: false,
        package_upgrade: false,
        vendor_data: VendorData { enabled: false },
        cloud_init_modules: &INIT_MODULES,
        cloud_config_modules: &CONFIG_MODULES,
        cloud_final_modules: &FINAL_MODULES,
        runcmd: vec![vec!["sh".into(), FETCH_SCRIPT_PATH.into()]],
    }
}

fn plain_file(path: &'static str, contents: &str) -> WriteFile {
    WriteFile { path, owner: "root:root", permissions: "0644", content: lean(contents) }
}

/// A file without its comments and indentation: every byte counts. Rules of the firewall's second stage look like comments and stay.
fn lean(contents: &str) -> String {
    let mut lean = String::with_capacity(contents.len());
    for line in contents.lines().map(str::trim_start) {
        let is_comment = line.starts_with('#') && !line.starts_with("#!") && !line.starts_with("#lockdown ");
        if !line.is_empty() && !is_comment {
            lean.push_str(line);
            lean.push('\n');
        }
    }
    lean
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
