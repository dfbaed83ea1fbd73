//! `cargo xtask dev`: the whole of Ringfence on this machine, until Ctrl-C.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::build::{self, Profile};
use crate::progress::{say, step};
use crate::stack::{Driver, Stack, StackOptions};
use crate::toolchain::Toolchain;
use crate::{image, project};

/// How to serve.
#[derive(Args, Debug)]
pub struct DevOptions {
    /// The port of the control plane; 0 takes a free one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// What machines are made of.
    #[arg(long, value_enum, default_value_t = DriverName::Process)]
    driver: DriverName,
    /// Where users, credentials, nodes and logs are kept from run to run.
    #[arg(long, default_value = ".ringfence/dev", value_name = "DIR")]
    state_dir: PathBuf,
    /// Serve what is deployed, which takes minutes to build, instead of the quick development build.
    #[arg(long)]
    release: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DriverName {
    /// The agent as a plain process, without any isolation.
    Process,
    /// A booted Debian in namespaces of this computer. Needs root.
    Nspawn,
    /// A virtual machine with a kernel of its own; minutes slower where there is no KVM. Needs root.
    Qemu,
}

/// Builds what changed, serves until a signal, and ends every child.
pub fn run(options: &DevOptions) -> Result<()> {
    let driver = match options.driver {
        DriverName::Process => Driver::Process,
        DriverName::Nspawn => Driver::Nspawn,
        DriverName::Qemu => Driver::Qemu,
    };
    if driver != Driver::Process {
        // First, because it says at once when it cannot be.
        image::ensure()?;
        if driver == Driver::Qemu {
            image::ensure_qemu()?;
        }
    }
    let profile = if options.release { Profile::Release } else { Profile::Dev };
    let artifacts = step("Building", || build::all(&Toolchain::ensure()?, profile))?;
    let mut stack_options = StackOptions::new(artifacts, project::root().join(&options.state_dir));
    stack_options.port = (options.port != 0).then_some(options.port);
    stack_options.driver = driver;
    stack_options.cron = true;
    tokio::runtime::Runtime::new()?.block_on(serve(stack_options))
}

async fn serve(options: StackOptions) -> Result<()> {
    let driver = options.driver;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stack = tokio::select! {
        stack = Stack::start(options) => stack?,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    };
    say(match driver {
        Driver::Process => "machines are plain processes: unconfined, for a first look only",
        Driver::Nspawn => "machines are booted in namespaces of this computer, and share its kernel",
        Driver::Qemu => "machines are virtual, and have kernels of their own",
    });
    say(format!("logs: {}", stack.state_dir().join("logs").display()));
    say(format!("API token of the local cloud: {}", stack.secrets().cloud_tokens[0]));
    println!("READY url={} sign-in={}", stack.origin(), stack.admin_sign_in_link().await?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    step_down(stack).await
}

async fn step_down(stack: Stack) -> Result<()> {
    say("stopping");
    stack.stop().await
}
