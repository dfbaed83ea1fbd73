//! Programs of others that serve inside the cloud's namespace: the name server and the container registry.

use super::addresses::{DNS, INTERNET, METADATA_V4, METADATA_V6, NEIGHBOUR, REGISTRY, REGISTRY_PORT};
use super::namespace::Namespace;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Every name that resolves; all others do not exist.
const NAMES: [(&str, IpAddr); 7] = [
    ("internet.test", IpAddr::V4(INTERNET)),
    ("allowed.test", IpAddr::V4(INTERNET)),
    ("denied.test", IpAddr::V4(INTERNET)),
    ("metadata.test", IpAddr::V4(METADATA_V4)),
    ("metadata6.test", IpAddr::V6(METADATA_V6)),
    ("private.test", IpAddr::V4(NEIGHBOUR)),
    ("registry.test", IpAddr::V4(REGISTRY)),
];

/// The running programs. They end with this value, and with this process, however it ends.
#[derive(Debug)]
pub(super) struct Services {
    _children: Vec<Child>,
}

impl Services {
    pub(super) fn start(namespace: &Namespace, image: &Path, directory: &Path) -> Result<Self> {
        let names = name_server(namespace, directory)?;
        let registry = registry(namespace, image, directory)?;
        Ok(Self { _children: vec![names, registry] })
    }
}

fn name_server(namespace: &Namespace, directory: &Path) -> Result<Child> {
    let mut command = kept(namespace, "dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--no-resolv",
        "--no-hosts",
        "--no-poll",
    ]);
    // A change of user would undo that it ends with us.
    command.args(["--user=root", "--group=root", "--bind-interfaces", "--except-interface=lo", "--local=/#/"]);
    command.arg(format!("--listen-address={DNS}"));
    command.args(NAMES.iter().map(|(name, address)| format!("--address=/{name}/{address}")));
    start(command, "dnsmasq", directory)
}

fn registry(namespace: &Namespace, image: &Path, directory: &Path) -> Result<Child> {
    let config = directory.join("registry.yml");
    let document = serde_json::json!({
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": image.join("registry/storage")},
            // The image is shared by all clouds of this computer.
            "maintenance": {"readonly": {"enabled": true}},
        },
        "http": {"addr": format!("{REGISTRY}:{REGISTRY_PORT}")},
    });
    // JSON is YAML.
    std::fs::write(&config, document.to_string()).with_context(|| format!("cannot write {}", config.display()))?;
    let mut command = kept(namespace, "sh");
    command.arg("-c").arg("exec \"$1\" serve \"$2\"").arg("registry");
    command.arg(image.join("registry/bin/docker-registry")).arg(&config);
    start(command, "registry", directory)
}

/// A command inside that ends with this process.
fn kept(namespace: &Namespace, program: &str) -> Command {
    let mut command = namespace.command("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

fn start(mut command: Command, name: &str, directory: &Path) -> Result<Child> {
    let log = File::create(directory.join(format!("{name}.log")))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {name}"))
}
