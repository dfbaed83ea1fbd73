//! `vm-agent`: reads the command line, sets up logs, and runs the agent until it is told to stop.

use std::process::ExitCode;

use clap::Parser;
use ringfence_protocol::agent_config::SWITCH_OFF_EXIT_CODE;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vm_agent::agent::{self, Ended};
use vm_agent::options::{LogFormat, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    start_logs(options.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&options)) {
        Ok(Ended::Told) => ExitCode::SUCCESS,
        Ok(Ended::SwitchedOff) => ExitCode::from(SWITCH_OFF_EXIT_CODE),
        Err(error) => {
            tracing::error!(%error, "cannot go on");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<Ended, Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told_to_stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(agent::run(options, told_to_stop).await?)
}

fn start_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_env("VM_AGENT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}
