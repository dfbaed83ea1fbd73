//! The `nspawn` driver: a machine is a booted Debian, with real systemd and cloud-init, in Linux namespaces.
//!
//! Its disk is a layer over the shared image. Container storage, volumes and the agent's state are folders of this computer's own
//! file system, because an overlay does not take another. Mounts are made in a mount namespace that ends with the machine, and
//! everything else of it carries the installation's name or is in its control groups, so nothing can be left behind unseen.

mod cgroups;
mod loops;

use super::image::Image;
use super::record::{Record, Shelf};
use super::{Exit, console, guest};
use crate::command::Outcome;
use crate::network::Network;
use crate::network::namespace::Namespace;
use crate::state::{Server, ServerId};
use anyhow::{Context as _, Result, anyhow, bail};
use cgroups::ControlGroups;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};

/// systemd-nspawn ends with it when the machine asked to be started again.
const EXIT_REBOOT: i32 = 133;
const KILL_ROUNDS_MAX: u32 = 500;
const PAUSE_BETWEEN_ROUNDS: Duration = Duration::from_millis(10);
const LOOP_DEVICES: u32 = 8;

/// Joins the machine's control groups, mounts its disk where nobody else sees it, and becomes systemd-nspawn.
const START: &str = r#"
root=$1 lower=$2 upper=$3 work=$4; shift 4
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
exec "$@"
"#;

/// Runs machines in namespaces of this computer.
#[derive(Clone, Debug)]
pub(crate) struct NspawnDriver {
    network: Arc<Network>,
    shelf: Shelf,
    image: Image,
    installation: String,
}

/// A machine that has been started.
#[derive(Debug)]
pub(crate) struct NspawnMachine {
    monitor: Child,
    groups: ControlGroups,
}

impl NspawnDriver {
    pub(crate) fn new(network: Arc<Network>, image: &Path, state_dir: &Path, installation: &str) -> Result<Self> {
        let image = Image::open(image)?;
        let shelf = Shelf::in_directory(state_dir)?;
        shelf.introduce(network.residents());
        Ok(Self { network, shelf, image, installation: installation.to_owned() })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Lays out the machine's disk, with its seed on it.
    pub(crate) fn prepare(&self, server: &Server, user_data: &str) -> Result<()> {
        let record = Record::of(server)?;
        self.shelf.put(&record, user_data, self.network.residents())?;
        let directory = self.shelf.directory(record.id);
        for folder in ["root", "upper", "work", "containers", "docker", "ringfence"] {
            std::fs::create_dir(directory.join(folder))?;
        }
        let upper = directory.join("upper");
        let seed = upper.join("var/lib/cloud/seed/nocloud");
        std::fs::create_dir_all(&seed)?;
        for (name, content) in record.seed(user_data) {
            super::record::write_private(&seed.join(name), content.as_bytes())?;
        }
        let networkd = upper.join("etc/systemd/network");
        std::fs::create_dir_all(&networkd)?;
        std::fs::write(networkd.join("05-local-cloud.network"), record.networkd())?;
        std::fs::create_dir_all(upper.join("usr/lib"))?;
        Ok(())
    }

    pub(crate) async fn boot(&self, id: ServerId) -> Result<NspawnMachine> {
        let record = self.shelf.record(id)?;
        let directory = self.shelf.directory(id);
        // What a broken start or an earlier run has left.
        if !self.clear(id).await {
            bail!("what an earlier run left of this machine does not go away");
        }
        let namespace = self.namespace(id);
        namespace.create().await?;
        self.network.plug(&namespace, record.slot).await?;
        let groups = ControlGroups::create(&format!("ringfence-{}-{id}", self.installation), &directory)?;
        let console = console::open(&directory)?;
        let mut command = Command::new("setpriv");
        // Killed with us, whatever ends us: a machine without its network and its provider is of no use to anyone. A namespace of
        // processes around systemd-nspawn sees to it, because that one's own death would leave the machine running.
        command.args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation", "slave"]);
        command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]);
        command.args(["sh", "-euc", START, "start"]);
        command.arg(directory.join("root")).arg(self.image.layers(record.variant));
        command.arg(directory.join("upper")).arg(directory.join("work"));
        command.args(groups.paths()).arg("--");
        self.nspawn(&mut command, &record, &namespace, &directory);
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console).kill_on_drop(true);
        let monitor = command.spawn().context("cannot start systemd-nspawn")?;
        let first = monitor.id().and_then(|id| i32::try_from(id).ok());
        let groups = groups.started(first, &directory)?;
        Ok(NspawnMachine { monitor, groups })
    }

    fn nspawn(&self, command: &mut Command, record: &Record, namespace: &Namespace, directory: &Path) {
        // Bridges and containers have their own settings in /proc/sys/net.
        command.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
        if cgroups::legacy() {
            command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "0");
        }
        command.args(["systemd-nspawn", "--quiet", "--boot", "--register=no", "--capability=all", "--directory"]);
        command.arg(directory.join("root"));
        if cgroups::legacy() {
            command.arg("--keep-unit");
        }
        command.arg(format!("--network-namespace-path={}", namespace.path().display()));
        command.arg(format!("--machine={}", hostname(&record.name)));
        // As on a machine of its own; containers of Docker have a session keyring each.
        command.args([
            "--system-call-filter=@keyring bpf",
            "--console=read-only",
            "--bind=/dev/fuse",
            "--bind=/dev/loop-control",
        ]);
        for number in 0..LOOP_DEVICES {
            let device = format!("/dev/loop{number}");
            if Path::new(&device).exists() {
                command.arg(format!("--bind={device}"));
            }
        }
        for folder in ["containers", "docker", "ringfence"] {
            command.arg(format!("--bind={}:/var/lib/{folder}", directory.join(folder).display()));
        }
        if cgroups::legacy() {
            command.args(["systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]);
        }
    }

    /// Ends everything that runs in the machine, and takes away all but its disk.
    pub(crate) async fn clear(&self, id: ServerId) -> bool {
        let directory = self.shelf.directory(id);
        let groups = ControlGroups::recorded(&directory);
        let mut ended = end_all(&groups).await;
        if ended {
            loops::detach(&directory).await;
            ended = groups.remove().await;
        }
        if let Ok(record) = self.shelf.record(id) {
            self.network.unplug(record.slot).await;
        }
        self.namespace(id).remove().await && ended
    }

    /// Takes away what a crash left. The network stands anew by now.
    pub(crate) async fn clear_leftovers(&self) -> Result<()> {
        for id in self.shelf.ids() {
            self.clear(id).await;
        }
        for namespace in Namespace::of_installation(&self.installation) {
            if namespace != *self.network.namespace() {
                namespace.remove().await;
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self, id: ServerId) {
        self.shelf.remove(id, self.network.residents());
    }

    pub(crate) fn directory(&self, id: ServerId) -> PathBuf {
        self.shelf.directory(id)
    }

    pub(crate) fn namespace(&self, id: ServerId) -> Namespace {
        Namespace::new(&self.installation, &format!("m{id}"))
    }

    /// The machine's process number one, as this computer numbers it.
    pub(crate) fn leader(&self, id: ServerId) -> Option<i32> {
        guest::leader(&ControlGroups::recorded(&self.shelf.directory(id)).processes())
    }

    /// Runs a program in the machine as its root.
    pub(crate) async fn exec(&self, id: ServerId, argv: &[String], input: &[u8], limit: Duration) -> Result<Outcome> {
        let leader = self.leader(id).ok_or_else(|| anyhow!("the machine has not booted"))?;
        guest::exec(leader, argv, input, limit).await
    }
}

impl NspawnMachine {
    /// Waits until the machine ends by itself.
    pub(crate) async fn exited(&mut self) -> Exit {
        match self.monitor.wait().await {
            Ok(status) if status.success() => Exit::PoweredOff,
            Ok(status) if status.code() == Some(EXIT_REBOOT) => Exit::Rebooted,
            Ok(status) => Exit::Failed(format!("systemd-nspawn ended: {status}")),
            Err(error) => Exit::Failed(format!("machine lost: {error}")),
        }
    }

    /// Sends a signal to the agent alone.
    pub(crate) fn signal_agent(&self, signal: Signal) -> bool {
        let processes = self.groups.processes();
        let agent = guest::leader(&processes).and_then(|leader| guest::agent(leader, &processes));
        agent.and_then(Pid::from_raw).is_some_and(|agent| kill_process(agent, signal).is_ok())
    }

    /// Presses the power button: systemd-nspawn asks the machine's systemd to power off.
    pub(crate) fn ask_to_end(&self) -> bool {
        let monitor = guest::monitor(&self.groups.processes());
        monitor.and_then(Pid::from_raw).is_some_and(|monitor| kill_process(monitor, Signal::TERM).is_ok())
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.monitor.id().and_then(|id| i32::try_from(id).ok())
    }
}

/// Kills until the control groups are empty.
async fn end_all(groups: &ControlGroups) -> bool {
    for _ in 0..KILL_ROUNDS_MAX {
        let living = groups.processes();
        if living.is_empty() {
            return true;
        }
        for pid in living.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        tokio::time::sleep(PAUSE_BETWEEN_ROUNDS).await;
    }
    false
}

/// A name that systemd-nspawn takes: one label of at most 64 characters.
fn hostname(name: &str) -> String {
    name.split('.').next().unwrap_or("machine").to_ascii_lowercase()
}
