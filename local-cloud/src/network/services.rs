//! Programs of others that serve inside the cloud's namespace: the name server and the container registry, once for anybody and once
//! for who has a login.

use super::addresses::{
    DNS, INTERNET, METADATA_V4, METADATA_V6, NEIGHBOUR, PRIVATE_REGISTRY_PORT, REGISTRY, REGISTRY_PORT,
};
use super::namespace::Namespace;
use crate::command;
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

const DNS_PORT: u16 = 53;
const START_LIMIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Who may read the private registry, and the password `let-me-read` as registries keep it.
const LOGIN: &str = "reader:$2y$05$ringfencelocalcloud00O1tMZUsgKH5hWNmgOay1GQsQp5e5FfjO\n";

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
    _children: [Child; 3],
}

impl Services {
    /// Starts them and returns when they answer.
    pub(super) async fn start(namespace: &Namespace, image: &Path, directory: &Path) -> Result<Self> {
        let mut names = name_server(namespace, directory)?;
        let mut open = registry(namespace, image, directory, Access::Anybody)?;
        let mut private = registry(namespace, image, directory, Access::Login)?;
        answers(namespace, &mut names, DNS, DNS_PORT).await.with_context(|| said(directory, "dnsmasq"))?;
        for (child, access) in [(&mut open, Access::Anybody), (&mut private, Access::Login)] {
            let started = answers(namespace, child, REGISTRY, access.port()).await;
            started.with_context(|| said(directory, access.name()))?;
        }
        Ok(Self { _children: [names, open, private] })
    }
}

/// Waits until a program takes connections.
async fn answers(namespace: &Namespace, child: &mut Child, address: Ipv4Addr, port: u16) -> Result<()> {
    let until = Instant::now() + START_LIMIT;
    let script = format!("exec 3<>/dev/tcp/{address}/{port}");
    while child.try_wait()?.is_none() && Instant::now() < until {
        let mut knock = namespace.command("bash");
        knock.args(["-c", &script]);
        if command::bounded(knock, b"", START_LIMIT).await?.exit == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
    bail!("it does not answer at {address}:{port}")
}

fn said(directory: &Path, name: &str) -> String {
    let log = std::fs::read_to_string(directory.join(format!("{name}.log"))).unwrap_or_default();
    format!("cannot start {name}: {}", log.trim_end().lines().last().unwrap_or_default())
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

/// Who may read a registry.
#[derive(Clone, Copy)]
enum Access {
    Anybody,
    Login,
}

impl Access {
    fn name(self) -> &'static str {
        match self {
            Self::Anybody => "registry",
            Self::Login => "private-registry",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Anybody => REGISTRY_PORT,
            Self::Login => PRIVATE_REGISTRY_PORT,
        }
    }
}

fn registry(namespace: &Namespace, image: &Path, directory: &Path, access: Access) -> Result<Child> {
    let name = access.name();
    let config = directory.join(format!("{name}.yml"));
    let mut document = serde_json::json!({
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": image.join("registry/storage")},
            // The image is shared by all clouds of this computer.
            "maintenance": {"readonly": {"enabled": true}},
        },
        "http": {"addr": format!("{REGISTRY}:{}", access.port())},
    });
    if let Access::Login = access {
        let logins = directory.join(format!("{name}.logins"));
        std::fs::write(&logins, LOGIN).with_context(|| format!("cannot write {}", logins.display()))?;
        document["auth"] = serde_json::json!({"htpasswd": {"realm": "registry", "path": logins}});
    }
    // JSON is YAML.
    std::fs::write(&config, document.to_string()).with_context(|| format!("cannot write {}", config.display()))?;
    let mut command = kept(namespace, "sh");
    command.arg("-c").arg("exec \"$1\" serve \"$2\"").arg("registry");
    command.arg(image.join("registry/bin/docker-registry")).arg(&config);
    start(command, name, directory)
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
