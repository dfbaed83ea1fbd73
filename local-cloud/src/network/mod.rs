//! The cloud's network: one namespace per running cloud, with a bridge that machines are plugged into.
//!
//! ```text
//!  machine 192.0.2.10 ──┐              ┌── 192.0.2.1:PORT ──▶ 127.0.0.1:PORT (control plane)
//!  machine 192.0.2.11 ──┼── bridge ────┼── 169.254.169.254, fd00:ec2::254 (metadata)
//!        …              ┘              ├── 10.77.0.1 (a neighbour)
//!                                      └── 198.51.100.0/24 (the internet: site, names, registry)
//! ```
//! Nothing is added to this computer's own network: no address, no route, no firewall rule. Nothing is routed either: what is not
//! in the picture does not exist for a machine.

pub(crate) mod addresses;
pub(crate) mod detour;
mod forward;
mod http;
pub(crate) mod namespace;
mod services;
pub(crate) mod sites;

use crate::command::{self, Outcome};
use addresses::{DNS, GATEWAY_V4, GATEWAY_V6, INTERNET, METADATA_V4, METADATA_V6, NEIGHBOUR, REGISTRY, Slot};
use anyhow::{Context as _, Result};
use detour::Detours;
use namespace::Namespace;
use services::Services;
use sites::{Residents, Site};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;

const BRIDGE: &str = "cloud0";
const HTTP_PORT: u16 = 80;

/// A network that stands. Dropping it ends its servers; [`Network::remove`] takes it down.
#[derive(Debug)]
pub(crate) struct Network {
    namespace: Namespace,
    residents: Residents,
    detours: Detours,
    claim: Claim,
    _services: Services,
    _servers: JoinSet<()>,
}

impl Network {
    /// Makes the namespace anew and starts everything that serves in it.
    pub(crate) async fn start(installation: &str, image: &Path, directory: &Path, forward: &[u16]) -> Result<Self> {
        let claim = Claim::take(installation)?;
        let namespace = Namespace::new(installation, "cloud");
        namespace.remove().await;
        namespace.create().await?;
        namespace.ip(&layout()).await?;
        let services = Services::start(&namespace, image, directory).await?;
        let residents = Residents::default();
        let mut servers = JoinSet::new();
        for (site, address) in Site::ALL {
            let listener = namespace.listen(SocketAddr::new(address, HTTP_PORT))?;
            let residents = residents.clone();
            servers.spawn(http::serve(listener, move |request, from| {
                std::future::ready(site.answer(&request, from, &residents))
            }));
        }
        let detours = Detours::default();
        for port in forward.iter().copied() {
            let detours = detours.clone();
            let listener = namespace.listen(SocketAddr::new(GATEWAY_V4.into(), port))?;
            servers
                .spawn(http::serve(listener, move |request, from| forward::pass(request, from, port, detours.clone())));
        }
        Ok(Self { namespace, residents, detours, claim, _services: services, _servers: servers })
    }

    pub(crate) fn residents(&self) -> &Residents {
        &self.residents
    }

    pub(crate) fn detours(&self) -> &Detours {
        &self.detours
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Plugs a machine's namespace in, with addresses and routes, so that its network works from the first instant.
    pub(crate) async fn plug(&self, machine: &Namespace, slot: Slot) -> Result<()> {
        let port = port_of(slot);
        let lines = format!(
            "link add {port} type veth peer name eth0 netns {}\nlink set {port} master {BRIDGE} up\n",
            machine.name()
        );
        self.namespace.ip(&lines).await?;
        let lines = format!(
            "link set lo up\nlink set eth0 address {}\nlink set eth0 up\naddr add {}/24 dev eth0\n\
             addr add {}/64 dev eth0 nodad\nroute add default via {GATEWAY_V4}\nroute add ::/0 via {GATEWAY_V6}\n",
            slot.mac(),
            slot.v4(),
            slot.v6(),
        );
        machine.ip(&lines).await
    }

    /// Makes a tap device for a machine that brings its own kernel, and returns its name.
    pub(crate) async fn tap(&self, slot: Slot) -> Result<String> {
        let port = port_of(slot);
        self.namespace.ip(&format!("tuntap add dev {port} mode tap\nlink set {port} master {BRIDGE} up\n")).await?;
        Ok(port)
    }

    /// Takes a machine's plug out, whichever kind it is.
    pub(crate) async fn unplug(&self, slot: Slot) {
        let _ = self.namespace.ip(&format!("link delete {}\n", port_of(slot))).await;
    }

    /// Runs a program in the cloud, outside of every machine.
    pub(crate) async fn exec(&self, argv: &[String], input: &[u8], limit: Duration) -> Result<Outcome> {
        let Some((program, arguments)) = argv.split_first() else { anyhow::bail!("no program named") };
        let mut command = self.namespace.command(program);
        command.args(arguments);
        command::bounded(command, input, limit).await
    }

    /// Ends what runs in the network and takes it down.
    pub(crate) async fn remove(&self) {
        self.namespace.remove().await;
        self.claim.forget();
    }
}

/// The right to the names of an installation. The state directory's lock does not give it: a copy of the directory has another lock
/// and the same names.
#[derive(Debug)]
struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Claim {
    fn take(installation: &str) -> Result<Self> {
        let path = Path::new("/run").join(format!("{}lock", namespace::prefix(installation)));
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        lock.try_lock()
            .context("another local-cloud of the same installation runs: is this a copied state directory?")?;
        Ok(Self { path, _lock: lock })
    }

    fn forget(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn port_of(slot: Slot) -> String {
    format!("m{}", slot.number())
}

fn layout() -> String {
    let mut lines =
        format!("link set lo up\nlink add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n");
    lines += &format!("addr add {GATEWAY_V4}/24 dev {BRIDGE}\naddr add {NEIGHBOUR}/16 dev {BRIDGE}\n");
    for address in [METADATA_V4, INTERNET, DNS, REGISTRY] {
        lines += &format!("addr add {address}/32 dev {BRIDGE}\n");
    }
    lines += &format!("addr add {GATEWAY_V6}/64 dev {BRIDGE} nodad\naddr add {METADATA_V6}/128 dev {BRIDGE} nodad\n");
    lines + &format!("link set {BRIDGE} up\n")
}
