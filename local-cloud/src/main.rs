//! The `local-cloud` command.

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use local_cloud::{Cloud, DriverSettings, MachineSettings, Settings, listen, serve};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

/// A cloud on your own machine: the Hetzner Cloud API over real local machines.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; loopback only. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where servers, machines and consoles are kept.
    #[arg(long)]
    state_dir: PathBuf,
    /// How machines are run.
    #[arg(long, value_enum, default_value_t = DriverName::Process)]
    driver: DriverName,
    /// The vm-agent binary that machines of the `process` driver run.
    #[arg(long, required_if_eq("driver", "process"))]
    agent_bin: Option<PathBuf>,
    /// The folder with the machine image, as `cargo xtask image` prints it.
    #[arg(long, required_if_eq_any([("driver", "nspawn"), ("driver", "qemu")]))]
    image: Option<PathBuf>,
    /// A port of this computer's loopback that machines reach at 192.0.2.1. May be given several times.
    #[arg(long, value_name = "PORT")]
    forward: Vec<u16>,
    /// An API token; each is a project with servers of its own. May be given several times.
    #[arg(long = "token", required = true, env = "LOCAL_CLOUD_TOKENS", value_delimiter = ',', hide_env_values = true)]
    tokens: Vec<String>,
    /// A token for the first token's project that may only look. May be given several times.
    #[arg(long = "read-only-token")]
    read_only_tokens: Vec<String>,
    /// Milliseconds from `initializing` to `running`.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(..=600_000))]
    boot_delay_ms: u64,
    /// Milliseconds from DELETE to 404.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(..=600_000))]
    delete_delay_ms: u64,
    /// Servers that a project may have.
    #[arg(long, default_value_t = 100)]
    servers_max: usize,
    /// Requests that a project may make in an hour.
    #[arg(long, default_value_t = 3600)]
    requests_per_hour: u32,
    /// End, with all machines, when standard input closes.
    #[arg(long)]
    exit_with_stdin: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum DriverName {
    /// The vm-agent as a plain process, without any isolation.
    Process,
    /// A booted Debian in namespaces of this computer. Needs root.
    Nspawn,
    /// A virtual machine with a kernel of its own. Needs root.
    Qemu,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    // Before READY: whoever waits for it may end us at once.
    let ended = ending(arguments.exit_with_stdin)?;
    let listener = listen(arguments.listen).await?;
    let address = listener.local_addr()?;
    let cloud = Cloud::open(arguments.settings()).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "READY url=http://{address}")?;
    stdout.flush()?;
    serve(cloud, listener, ended).await;
    Ok(())
}

impl Arguments {
    fn settings(self) -> Settings {
        let machines = MachineSettings { image: self.image.unwrap_or_default(), forward: self.forward };
        let driver = match self.driver {
            DriverName::Process => DriverSettings::Process,
            DriverName::Nspawn => DriverSettings::Nspawn(machines),
            DriverName::Qemu => DriverSettings::Qemu(machines),
        };
        Settings {
            driver,
            boot_delay: Duration::from_millis(self.boot_delay_ms),
            delete_delay: Duration::from_millis(self.delete_delay_ms),
            read_only_tokens: self.read_only_tokens,
            servers_max: self.servers_max,
            requests_per_hour: self.requests_per_hour,
            ..Settings::new(self.state_dir, self.agent_bin.unwrap_or_default(), self.tokens)
        }
    }
}

/// Ends at SIGTERM, at SIGINT, or when asked to, at the end of standard input.
fn ending(exit_with_stdin: bool) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let (closed_sender, closed) = oneshot::channel::<()>();
    if exit_with_stdin {
        std::thread::spawn(move || {
            let mut discarded = [0; 256];
            while std::io::stdin().read(&mut discarded).is_ok_and(|length| length > 0) {}
            let _ = closed_sender.send(());
        });
    }
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = closed, if exit_with_stdin => {}
        }
    })
}
