//! The `qemu` driver: a machine is a virtual machine with a kernel of its own.
//!
//! Its disk is a difference to the image's, its seed a CD. It is plugged into the cloud's network by a tap device, runs as a process
//! inside the cloud's namespace, and is looked into through the QEMU guest agent, on a channel that is no network.

mod accelerator;
mod channel;

use super::image::Image;
use super::procfs::{self, ProcessIdentity};
use super::record::{Record, Shelf, write_private};
use super::{Exit, console};
use crate::command::{self, Outcome};
use crate::network::Network;
use crate::state::{Server, ServerId};
use accelerator::Accelerator;
use anyhow::{Context as _, Result, anyhow};
use channel::{GuestAgent, Monitor};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};

/// More would only be slower to give, and an emulated machine does not use it.
const MEMORY_MAX_MB: u32 = 2048;
const CORES_MAX: u32 = 2;
/// How long the agent's signal may take to arrive.
const SIGNAL_LIMIT: Duration = Duration::from_secs(20);

/// Runs virtual machines on this computer.
#[derive(Clone, Debug)]
pub(crate) struct QemuDriver {
    network: Arc<Network>,
    shelf: Shelf,
    image: Image,
    accelerator: Accelerator,
}

/// A machine that has been started.
#[derive(Debug)]
pub(crate) struct QemuMachine {
    process: Child,
    directory: PathBuf,
}

impl QemuDriver {
    pub(crate) async fn new(network: Arc<Network>, image: &Path, state_dir: &Path) -> Result<Self> {
        let image = Image::open(image)?;
        let shelf = Shelf::in_directory(state_dir)?;
        shelf.introduce(network.residents());
        let accelerator = Accelerator::choose(&image).await;
        tracing::info!(accelerator = accelerator.as_str(), "machines are virtual");
        Ok(Self { network, shelf, image, accelerator })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Whether machines run at the processor's own speed.
    pub(crate) fn isolation(&self) -> &'static str {
        match self.accelerator {
            Accelerator::Kvm => "vm",
            Accelerator::Emulation => "vm_emulated",
        }
    }

    /// Lays out the machine's disk and its seed.
    pub(crate) fn prepare(&self, server: &Server, user_data: &str) -> Result<()> {
        let record = Record::of(server)?;
        self.shelf.put(&record, user_data, self.network.residents())?;
        let directory = self.shelf.directory(record.id);
        let base = self.image.disk(record.variant);
        let mut disk = std::process::Command::new("qemu-img");
        disk.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(base).arg(directory.join("disk.qcow2"));
        succeed(disk)?;
        // The files are there only as long as it takes to burn them.
        let seed = directory.join("seed");
        std::fs::create_dir(&seed)?;
        for (name, content) in record.seed(user_data) {
            write_private(&seed.join(name), content.as_bytes())?;
        }
        let mut burn = std::process::Command::new("genisoimage");
        burn.args(["-quiet", "-volid", "cidata", "-joliet", "-rock", "-output"])
            .arg(directory.join("seed.iso"))
            .arg(&seed);
        succeed(burn)?;
        Ok(std::fs::remove_dir_all(seed)?)
    }

    pub(crate) async fn boot(&self, id: ServerId) -> Result<QemuMachine> {
        let record = self.shelf.record(id)?;
        let directory = self.shelf.directory(id);
        self.clear(id).await;
        let tap = self.network.tap(record.slot).await?;
        let mut command = self.network.namespace().command("setpriv");
        // Killed with us: a machine without its network and its provider is of no use to anyone.
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
        self.hardware(&mut command, &record, &tap, &directory);
        let console = console::open(&directory)?;
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console).kill_on_drop(true);
        let process = command.spawn().context("cannot start qemu")?;
        let pid = process.id().and_then(|pid| i32::try_from(pid).ok());
        let identity = pid.and_then(ProcessIdentity::of).ok_or_else(|| anyhow!("qemu ended at once"))?;
        write_private(&directory.join("process.json"), &serde_json::to_vec(&identity)?)?;
        Ok(QemuMachine { process, directory })
    }

    fn hardware(&self, command: &mut Command, record: &Record, tap: &str, directory: &Path) {
        let file = |name: &str| directory.join(name).display().to_string();
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-cpu", "max", "-accel"]);
        command.arg(self.accelerator.argument());
        command.args(["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
        command.arg("-smp").arg(record.cores.min(CORES_MAX).to_string());
        command.arg("-m").arg((record.memory_gb * 1024).min(MEMORY_MAX_MB).to_string());
        command.arg("-kernel").arg(self.image.kernel()).arg("-initrd").arg(self.image.initrd());
        command.args(["-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0"]);
        // A machine of this cloud need not outlive a power cut of this computer.
        command
            .arg("-drive")
            .arg(format!("file={},format=qcow2,if=virtio,cache=unsafe,discard=unmap", file("disk.qcow2")));
        command.arg("-drive").arg(format!("file={},format=raw,if=virtio,readonly=on", file("seed.iso")));
        command.arg("-netdev").arg(format!("tap,id=net,ifname={tap},script=no,downscript=no"));
        command.arg("-device").arg(format!("virtio-net-pci,netdev=net,mac={}", record.slot.mac()));
        command.args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        command.arg("-chardev").arg(format!("file,id=console,path={},append=on", file("console.log")));
        command.args(["-serial", "chardev:console"]);
        command.arg("-chardev").arg(format!("socket,id=agent,path={},server=on,wait=off", file("agent.sock")));
        command.args(["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]);
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", file("monitor.sock")));
    }

    /// Ends the machine and takes away all but its disk.
    pub(crate) async fn clear(&self, id: ServerId) -> bool {
        let directory = self.shelf.directory(id);
        let record = directory.join("process.json");
        let identity = std::fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let ended = match identity {
            Some(identity) => procfs::end(identity).await,
            None => true,
        };
        if ended {
            for name in ["process.json", "agent.sock", "monitor.sock"] {
                let _ = std::fs::remove_file(directory.join(name));
            }
        }
        if let Ok(record) = self.shelf.record(id) {
            self.network.unplug(record.slot).await;
        }
        ended
    }

    /// Ends what a crash left. The network, and every plug in it, is new by now.
    pub(crate) async fn clear_leftovers(&self) -> Result<()> {
        for id in self.shelf.ids() {
            self.clear(id).await;
        }
        Ok(())
    }

    pub(crate) fn remove(&self, id: ServerId) {
        self.shelf.remove(id, self.network.residents());
    }

    pub(crate) fn directory(&self, id: ServerId) -> PathBuf {
        self.shelf.directory(id)
    }

    /// Runs a program in the machine as its root.
    pub(crate) async fn exec(&self, id: ServerId, argv: &[String], input: &[u8], limit: Duration) -> Result<Outcome> {
        GuestAgent::of(&self.directory(id)).exec(argv, input, limit).await
    }
}

impl QemuMachine {
    /// Waits until the machine ends by itself. A reboot happens inside and ends nothing.
    pub(crate) async fn exited(&mut self) -> Exit {
        match self.process.wait().await {
            Ok(status) if status.success() => Exit::PoweredOff,
            Ok(status) => Exit::Failed(format!("qemu ended: {status}")),
            Err(error) => Exit::Failed(format!("machine lost: {error}")),
        }
    }

    /// Sends a signal to the agent alone.
    pub(crate) async fn signal_agent(&self, signal: Signal) -> bool {
        let number = signal.as_raw().to_string();
        let argv = ["pkill", "--signal", &number, "--exact", "--parent", "1", "vm-agent"].map(str::to_owned);
        let outcome = GuestAgent::of(&self.directory).exec(&argv, b"", SIGNAL_LIMIT).await;
        outcome.is_ok_and(|outcome| outcome.exit == 0)
    }

    /// Presses the power button.
    pub(crate) async fn ask_to_end(&self) -> bool {
        Monitor::of(&self.directory).press_power_button().await.is_ok()
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.id().and_then(|id| i32::try_from(id).ok())
    }
}

/// Runs a program that takes milliseconds and must succeed.
fn succeed(mut command: std::process::Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}"))?;
    command::must_succeed(&program, output.status.success(), &output.stderr)
}
