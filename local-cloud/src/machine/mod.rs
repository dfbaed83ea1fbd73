//! Machines: what stands behind a server.
//!
//! [`Driver`] is the seam for the ways to run one; [`supervisor`] keeps one machine running as systemd keeps a unit.

mod console;
mod guest;
mod image;
pub(crate) mod nspawn;
pub(crate) mod process;
pub(crate) mod procfs;
mod qemu;
mod record;
pub(crate) mod supervisor;

use crate::command::Outcome;
use crate::network::Network;
use crate::settings::{DriverSettings, MachineSettings, Settings};
use crate::state::{Server, ServerId};
use anyhow::{Result, bail};
use nspawn::{NspawnDriver, NspawnMachine};
use process::{ProcessDriver, ProcessMachine};
use qemu::{QemuDriver, QemuMachine};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The way machines are run. Every method is one question that each driver answers for itself.
#[derive(Clone, Debug)]
pub(crate) enum Driver {
    /// The agent as a plain process, unconfined.
    Process(ProcessDriver),
    /// A booted Debian in namespaces.
    Nspawn(NspawnDriver),
    /// A virtual machine.
    Qemu(QemuDriver),
}

/// A machine that has been started.
#[derive(Debug)]
pub(crate) enum RunningMachine {
    Process(ProcessMachine),
    Nspawn(NspawnMachine),
    Qemu(QemuMachine),
}

/// How a machine ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It powered itself off.
    PoweredOff,
    /// It asked to be started again.
    Rebooted,
    /// It broke, and is started again.
    Failed(String),
}

/// What only this cloud knows of a machine.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    /// Process number one of the machine, as this computer numbers it.
    pub(crate) leader: Option<i32>,
    /// The machine's network namespace.
    pub(crate) namespace: Option<String>,
}

impl Driver {
    /// The driver that the settings name, with its network where it has one.
    pub(crate) async fn open(settings: &Settings, state_dir: &Path, installation: &str) -> Result<Self> {
        match &settings.driver {
            DriverSettings::Process => {
                ProcessDriver::new(&settings.agent_bin, state_dir, installation).map(Self::Process)
            }
            DriverSettings::Nspawn(machines) => {
                let network = network(machines, state_dir, installation).await?;
                NspawnDriver::new(network, &machines.image, state_dir, installation).map(Self::Nspawn)
            }
            DriverSettings::Qemu(machines) => {
                let network = network(machines, state_dir, installation).await?;
                QemuDriver::new(network, &machines.image, state_dir).await.map(Self::Qemu)
            }
        }
    }

    /// The word for it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Nspawn(_) => "nspawn",
            Self::Qemu(_) => "qemu",
        }
    }

    /// What keeps its machines apart from this computer.
    pub(crate) fn isolation(&self) -> &'static str {
        match self {
            Self::Process(_) => "unconfined",
            Self::Nspawn(_) => "namespaces",
            Self::Qemu(driver) => driver.isolation(),
        }
    }

    /// Where machines have addresses of their own.
    pub(crate) fn network(&self) -> Option<&Network> {
        match self {
            Self::Process(_) => None,
            Self::Nspawn(driver) => Some(driver.network()),
            Self::Qemu(driver) => Some(driver.network()),
        }
    }

    /// Makes what the machine needs before it can boot.
    pub(crate) fn prepare(&self, server: &Server, user_data: &str) -> Result<()> {
        match self {
            Self::Process(driver) => driver.prepare(server.id, user_data),
            Self::Nspawn(driver) => driver.prepare(server, user_data),
            Self::Qemu(driver) => driver.prepare(server, user_data),
        }
    }

    pub(crate) async fn boot(&self, id: ServerId) -> Result<RunningMachine> {
        match self {
            Self::Process(driver) => driver.boot(id).map(RunningMachine::Process),
            Self::Nspawn(driver) => driver.boot(id).await.map(RunningMachine::Nspawn),
            Self::Qemu(driver) => driver.boot(id).await.map(RunningMachine::Qemu),
        }
    }

    /// Ends everything that runs in the machine; false when something would not end.
    pub(crate) async fn clear(&self, id: ServerId) -> bool {
        match self {
            Self::Process(driver) => driver.clear(id).await,
            Self::Nspawn(driver) => driver.clear(id).await,
            Self::Qemu(driver) => driver.clear(id).await,
        }
    }

    /// Ends machines that an earlier run on the same state directory left behind.
    pub(crate) async fn clear_leftovers(&self) -> Result<()> {
        match self {
            Self::Process(driver) => driver.clear_leftovers().await,
            Self::Nspawn(driver) => driver.clear_leftovers().await,
            Self::Qemu(driver) => driver.clear_leftovers().await,
        }
    }

    /// Removes the machine for good.
    pub(crate) fn remove(&self, id: ServerId) {
        match self {
            Self::Process(driver) => driver.remove(id),
            Self::Nspawn(driver) => driver.remove(id),
            Self::Qemu(driver) => driver.remove(id),
        }
    }

    /// Takes down what all machines shared, at the end.
    pub(crate) async fn close(&self) {
        if let Some(network) = self.network() {
            network.remove().await;
        }
    }

    pub(crate) fn inside(&self, id: ServerId) -> Inside {
        match self {
            Self::Process(_) | Self::Qemu(_) => Inside::default(),
            Self::Nspawn(driver) => {
                Inside { leader: driver.leader(id), namespace: Some(driver.namespace(id).name().to_owned()) }
            }
        }
    }

    /// Runs a program in a machine as its root.
    pub(crate) async fn exec(&self, id: ServerId, argv: &[String], input: &[u8], limit: Duration) -> Result<Outcome> {
        match self {
            Self::Process(_) => bail!("a machine of the process driver has no inside"),
            Self::Nspawn(driver) => driver.exec(id, argv, input, limit).await,
            Self::Qemu(driver) => driver.exec(id, argv, input, limit).await,
        }
    }

    /// The last bytes of the machine's console.
    pub(crate) fn console(&self, id: ServerId) -> Vec<u8> {
        console::tail(&self.directory(id))
    }

    /// Adds a line of our own to the machine's console.
    pub(crate) fn note(&self, id: ServerId, line: &str) {
        console::note(&self.directory(id), line);
    }

    pub(crate) fn directory(&self, id: ServerId) -> PathBuf {
        match self {
            Self::Process(driver) => driver.directory(id),
            Self::Nspawn(driver) => driver.directory(id),
            Self::Qemu(driver) => driver.directory(id),
        }
    }
}

impl RunningMachine {
    /// Waits until the machine ends by itself.
    pub(crate) async fn exited(&mut self) -> Exit {
        match self {
            Self::Process(machine) => machine.exited().await,
            Self::Nspawn(machine) => machine.exited().await,
            Self::Qemu(machine) => machine.exited().await,
        }
    }

    /// Sends a signal to the agent alone; false when there is none.
    pub(crate) async fn signal_agent(&self, signal: Signal) -> bool {
        match self {
            Self::Process(machine) => machine.signal(signal),
            Self::Nspawn(machine) => machine.signal_agent(signal),
            Self::Qemu(machine) => machine.signal_agent(signal).await,
        }
    }

    /// Presses the power button; false when there is nothing that could answer.
    pub(crate) async fn ask_to_end(&self) -> bool {
        match self {
            Self::Process(machine) => machine.signal(Signal::TERM),
            Self::Nspawn(machine) => machine.ask_to_end(),
            Self::Qemu(machine) => machine.ask_to_end().await,
        }
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        match self {
            Self::Process(machine) => machine.pid(),
            Self::Nspawn(machine) => machine.pid(),
            Self::Qemu(machine) => machine.pid(),
        }
    }
}

/// The network that machines of their own are plugged into.
async fn network(machines: &MachineSettings, state_dir: &Path, installation: &str) -> Result<Arc<Network>> {
    if !rustix::process::geteuid().is_root() {
        bail!("machines with a network of their own need root: run it with sudo, or take --driver process");
    }
    let network = Network::start(installation, &machines.image, state_dir, &machines.forward).await?;
    Ok(Arc::new(network))
}
