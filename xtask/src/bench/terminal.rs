//! The terminal through the relay: how long an echo takes, how much flows, how many messages that is.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::plan;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::statistics::Samples;
use super::table::{Row, Unit};
use super::{LIMIT, MIB, say};
use crate::client::{Client, Screen, Terminal};

pub(super) const KEYSTROKES: usize = 400;
pub(super) const FLOOD_BYTES: u64 = 64 * 1024 * 1024;
/// Cloudflare's free plan: 100,000 requests a day, of which 20 incoming messages make one.
const FREE_MESSAGES_PER_DAY: f64 = 2_000_000.0;
/// Cloudflare's free plan: 13,000 GB-s a day, at 128 MB an object.
const FREE_OBJECT_HOURS_PER_DAY: f64 = 13_000.0 / 0.128 / 3600.0;
/// A busy hour: three keystrokes a second, and ten megabytes of output.
const KEYSTROKES_PER_HOUR: f64 = 3.0 * 3600.0;
const OUTPUT_MIB_PER_HOUR: f64 = 10.0;

pub(super) async fn measure(client: &Client, workspace: WorkspaceId) -> Result<Vec<Row>> {
    say(format!("typing {KEYSTROKES} characters"));
    let mut terminal = client.open_terminal(workspace).await?;
    into_cat(&mut terminal).await?;
    let before = terminal.traffic();
    let quiet = echoes(&mut terminal).await?;
    let traffic = terminal.traffic();
    let messages = traffic.sent + traffic.received - before.sent - before.received;
    let per_keystroke = messages as f64 / KEYSTROKES as f64;

    say(format!("typing {KEYSTROKES} characters beside a flood"));
    let flooded = echoes_under_flood(client, workspace, &mut terminal).await?;

    say(format!("{} MiB of output", FLOOD_BYTES as f64 / MIB));
    let (rate, per_mib) = throughput(client, workspace).await?;

    let per_hour = per_keystroke * KEYSTROKES_PER_HOUR + per_mib * OUTPUT_MIB_PER_HOUR;
    let opening = plan::TERMINAL_HOUR;
    let billed_per_hour =
        per_hour / plan::MESSAGES_PER_REQUEST as f64 + (opening.requests + opening.billed_object_requests()) as f64;
    let hours = (FREE_MESSAGES_PER_DAY / per_hour).min(FREE_OBJECT_HOURS_PER_DAY);
    Ok(vec![
        Row::at_most("keystroke → echo, p50", quiet.percentile_ms(50), 2.0, Unit::Milliseconds),
        Row::at_most("keystroke → echo, p99", quiet.percentile_ms(99), 20.0, Unit::Milliseconds),
        Row::at_most("keystroke → echo beside a flood, p99", flooded.percentile_ms(99), 20.0, Unit::Milliseconds),
        Row::figure("terminal throughput", rate, Unit::MibPerSecond),
        Row::figure("object messages per keystroke", per_keystroke, Unit::Messages),
        Row::figure("object messages per MiB of output", per_mib, Unit::Messages),
        Row::figure("active terminal-hour: billed requests", billed_per_hour, Unit::Requests),
        Row::figure("active terminal time a day on the free plan", hours, Unit::Hours),
    ])
}

/// Replaces the shell by `cat` on a quiet line, so that each character comes back once, from the terminal itself.
async fn into_cat(terminal: &mut Terminal) -> Result<()> {
    terminal.type_line("echo cat is \"\"ready; exec cat").await?;
    terminal.wait_for("cat is ready\r\n", LIMIT).await.map(drop)
}

async fn echoes(terminal: &mut Terminal) -> Result<Samples> {
    let mut samples = Vec::with_capacity(KEYSTROKES);
    for _ in 0..KEYSTROKES {
        // A person does not type in lock step with the machine.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let target = terminal.offset() + 1;
        let started = Instant::now();
        terminal.type_bytes(b"k").await?;
        while terminal.offset() < target {
            ensure!(terminal.read_frame(started + LIMIT).await?, "a character did not come back");
        }
        samples.push(started.elapsed());
    }
    Ok(Samples::new(samples))
}

/// Echoes while another terminal of the same workspace prints without end and its viewer reads as fast as it can.
async fn echoes_under_flood(client: &Client, workspace: WorkspaceId, terminal: &mut Terminal) -> Result<Samples> {
    let mut flood = open(client, workspace, "flood").await?;
    flood.type_line("yes").await?;
    flood.wait_for("y\r\ny\r\ny\r\n", LIMIT).await?;
    let (enough, mut told) = oneshot::channel::<()>();
    let reader = tokio::spawn(async move {
        while told.try_recv() == Err(TryRecvError::Empty) {
            ensure!(flood.read_frame(Instant::now() + LIMIT).await?, "the flood stopped");
            flood.forget_output();
        }
        // What is measured next has the machine to itself.
        flood.type_bytes(b"\x03").await?;
        flood.type_line("echo it is \"\"over").await?;
        flood.wait_for("it is over\r\n", LIMIT).await
    });
    let samples = echoes(terminal).await;
    drop(enough);
    reader.await??;
    samples
}

/// Output in MiB a second, and messages per MiB.
async fn throughput(client: &Client, workspace: WorkspaceId) -> Result<(f64, f64)> {
    let mut terminal = open(client, workspace, "throughput").await?;
    terminal.type_line("stty -opost; echo \"\"ready").await?;
    terminal.wait_for("ready\n", LIMIT).await?;
    let (before, from) = (terminal.traffic(), terminal.offset());
    let started = Instant::now();
    terminal.type_line(&format!("head -c {FLOOD_BYTES} /dev/zero")).await?;
    while terminal.offset() < from + FLOOD_BYTES {
        ensure!(terminal.read_frame(Instant::now() + LIMIT).await?, "the output stopped");
        terminal.forget_output();
    }
    let seconds = started.elapsed().as_secs_f64();
    let traffic = terminal.traffic();
    let messages = traffic.sent + traffic.received - before.sent - before.received;
    let mib = FLOOD_BYTES as f64 / MIB;
    Ok((mib / seconds, messages as f64 / mib))
}

async fn open(client: &Client, workspace: WorkspaceId, name: &str) -> Result<Terminal> {
    let token = client.workspace_token(workspace, None).await?;
    let screen = Screen { terminal: name.into(), ..Screen::default() };
    Terminal::open(client.origin(), workspace, token, screen).await
}
