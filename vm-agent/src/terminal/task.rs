//! The task that owns one terminal: its TTY, its process and its core. One `select!`, one `match`.
//!
//! It never waits for anything but all of its sources at once: not for a viewer, not for the link, not for its process to read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{self, AgentMessage, ChannelId, CloseReason};
use ringfence_protocol::terminal::Exit;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Bytes;

use super::core::{Attachment, Core, Transmit};
use super::tty::{Process, Reader, Source, Tty, Writer};
use crate::activity::Signs;
use crate::link::{Outbox, Outgoing};
use crate::workspaces::EngineError;

/// Commands waiting for the task, which takes them at once.
const QUEUE_COMMANDS: usize = 64;
/// Bytes read at once. The kernel gives 4 KiB at most.
const READ_BYTES: usize = 16 * 1024;
/// Output is complete once the process has ended and nothing came for this long: a job in the background may hold the PTY open.
const QUIET_AFTER_EXIT: Duration = Duration::from_millis(100);
/// Longest time after the process's end that output is read.
const DRAIN: Duration = Duration::from_secs(5);
/// Longest time to tell viewers that a terminal was ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a terminal is told.
#[derive(Debug)]
pub enum Command {
    /// A viewer comes, over this link.
    Attach(Attachment, Outbox),
    /// A viewer has gone.
    Detach(ChannelId),
    /// A viewer sent a frame.
    Frame(ChannelId, Bytes),
    /// Every viewer has gone.
    LinkLost,
    /// End, with everything that was started in it, and close the viewers' channels with this reason.
    End(CloseReason),
    /// The agent ends: as above, but what became of its processes is the engine's to say.
    Leave(CloseReason),
}

/// What a terminal says of itself.
#[derive(Debug)]
pub enum Ended {
    /// A viewer's channel, on this link.
    Channel(ChannelId, Outbox),
    /// The terminal: its process is no more.
    Terminal {
        /// Of this workspace.
        workspace_id: WorkspaceId,
        /// The terminal's name.
        name: String,
        /// Which of those that had the name.
        epoch: u64,
    },
}

/// A running terminal.
pub struct Handle {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Gives a command. A terminal that is no more has said so, or is about to.
    pub async fn tell(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }

    /// A way to give commands for whoever routes frames.
    pub fn commands(&self) -> mpsc::Sender<Command> {
        self.commands.clone()
    }

    /// Whether the terminal takes no commands any more.
    pub fn is_over(&self) -> bool {
        self.commands.is_closed()
    }

    /// Waits until it has ended, having been told to.
    pub async fn ended(self) {
        let _ = self.task.await;
    }
}

/// Which terminal it is.
#[derive(Debug, Clone)]
pub struct Name {
    /// Of this workspace.
    pub workspace_id: WorkspaceId,
    /// The terminal's name.
    pub name: String,
    /// Unlike that of every other terminal.
    pub epoch: u64,
}

/// Starts the task.
pub fn start(name: Name, core: Core, source: Source, signs: Arc<Signs>, ended: mpsc::UnboundedSender<Ended>) -> Handle {
    let (commands, queue) = mpsc::channel(QUEUE_COMMANDS);
    let terminal = Terminal {
        name,
        size: core.size(),
        core,
        source,
        reader: None,
        writer: None,
        process: None,
        commands: queue,
        signs,
        ended,
        outbox: None,
        phase: Phase::Starting,
    };
    Handle { commands, task: tokio::spawn(terminal.run()) }
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The process is being started.
    Starting,
    /// The process runs.
    Running,
    /// The process has ended; the rest of its output is read.
    Draining { exit: Exit, quiet_at: Instant, until: Instant },
    /// All output was read; viewers take the rest of it.
    Over,
    /// Told to end, or never begun; viewers are told.
    Ending { until: Instant, reason: CloseReason },
}

struct Terminal {
    name: Name,
    core: Core,
    /// The size the terminal has.
    size: (u16, u16),
    source: Source,
    /// These three are there from the end of the start on; the first two until they fail.
    reader: Option<Reader>,
    writer: Option<Writer>,
    process: Option<Process>,
    commands: mpsc::Receiver<Command>,
    /// Where it is left that somebody uses it.
    signs: Arc<Signs>,
    ended: mpsc::UnboundedSender<Ended>,
    /// The link the viewers came over.
    outbox: Option<Outbox>,
    phase: Phase,
}

enum Event {
    Started(Result<Tty, EngineError>),
    Command(Option<Command>),
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<usize>),
    Place(Option<mpsc::OwnedPermit<Outgoing>>),
    Exited(Exit),
    Time,
}

impl Terminal {
    async fn run(mut self) {
        let mut buffer = vec![0_u8; READ_BYTES];
        while !self.is_finished() {
            let now = Instant::now();
            let starts = matches!(self.phase, Phase::Starting);
            let runs = matches!(self.phase, Phase::Running);
            let reads = matches!(self.phase, Phase::Running | Phase::Draining { .. });
            let allowance = usize::try_from(self.core.allowance(now)).unwrap_or(READ_BYTES);
            let wanted = READ_BYTES.min(allowance);
            let has_input = runs && !self.core.pending_input().is_empty();
            let sends = self.outbox.is_some() && self.core.has_something_to_send(now);
            let deadline = self.deadline(now);
            let event = tokio::select! {
                command = self.commands.recv() => Event::Command(command),
                started = &mut self.source.tty, if starts => Event::Started(started),
                Some(read) = read_some(&mut self.reader, &mut buffer[..wanted]), if reads && wanted > 0 => Event::Read(read),
                Some(wrote) = write_some(&mut self.writer, self.core.pending_input()), if has_input => Event::Wrote(wrote),
                place = place_in(&self.outbox), if sends => Event::Place(place),
                Some(exit) = exit_of(&mut self.process), if runs => Event::Exited(exit),
                () = sleep_until(deadline), if deadline.is_some() => Event::Time,
            };
            let now = Instant::now();
            let has_moved = matches!(event, Event::Read(Ok(_)) | Event::Place(Some(_)));
            match event {
                Event::Command(Some(command)) => self.obey(command, now),
                Event::Command(None) => self.phase = Phase::Ending { until: now, reason: CloseReason::WorkspaceEnded },
                Event::Started(Ok(tty)) => self.started(tty),
                Event::Started(Err(error)) => self.not_started(&error, now),
                Event::Read(Ok(count)) if count > 0 => {
                    self.core.output(&buffer[..count], now);
                    if self.core.is_watched(now) {
                        self.signs.shown(now);
                    }
                    self.heard(now);
                }
                Event::Read(Ok(_) | Err(_)) => {
                    // The last process that had it open is gone.
                    self.reader = None;
                    self.drained(now);
                }
                Event::Wrote(Ok(count)) if count > 0 => self.core.wrote(count, now),
                Event::Wrote(Ok(_) | Err(_)) => self.writer = None,
                Event::Place(Some(place)) => {
                    let closed = transmit(&mut self.core, place, now);
                    if let (Some(channel), Some(outbox)) = (closed, &self.outbox) {
                        let _ = self.ended.send(Ended::Channel(channel, outbox.clone()));
                    }
                }
                Event::Place(None) => {
                    self.outbox = None;
                    self.core.detach_all();
                }
                Event::Exited(exit) => {
                    self.phase = Phase::Draining { exit, quiet_at: now + QUIET_AFTER_EXIT, until: now + DRAIN };
                    if self.reader.is_none() {
                        self.drained(now);
                    }
                }
                Event::Time => self.tick(now),
            }
            self.apply_size();
            if has_moved && !self.core.has_something_to_send(now) {
                // A TTY that floods is always ready. The link's task, which was woken by what this one has sent, and every other
                // terminal would wait until this task has used up its budget: dozens of reads, tens of milliseconds.
                tokio::task::yield_now().await;
            }
        }
        self.say_ended();
        if let (Phase::Ending { .. }, Some(end)) = (self.phase, self.source.end.take()) {
            end.await;
        }
        self.turn_away_latecomers().await;
    }

    fn started(&mut self, tty: Tty) {
        let Tty { reader, writer, process } = tty;
        // Its size may have changed meanwhile.
        writer.resize(self.size);
        self.reader = Some(reader);
        self.writer = Some(writer);
        self.process = Some(process);
        self.phase = Phase::Running;
    }

    fn not_started(&mut self, error: &EngineError, now: Instant) {
        tracing::error!(workspace.id = %self.name.workspace_id, %error, "cannot start a terminal");
        let reason = CloseReason::SpawnFailed;
        self.end(reason, now);
    }

    /// Viewers who came in the very last moment are told, like all others, that it is over.
    async fn turn_away_latecomers(&mut self) {
        self.commands.close();
        let reason = match self.phase {
            Phase::Ending { reason, .. } => reason,
            Phase::Starting | Phase::Running | Phase::Draining { .. } | Phase::Over => CloseReason::Exited,
        };
        while let Some(command) = self.commands.recv().await {
            if let Command::Attach(Attachment { channel, .. }, outbox) = command {
                outbox.send(Outgoing::Message(AgentMessage::ChannelClosed { channel, reason })).await;
            }
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Attach(attachment, outbox) => self.attach(attachment, outbox, now),
            Command::Detach(channel) => self.core.detach(channel),
            Command::Frame(channel, frame) => {
                let before = self.core.inputs();
                self.core.frame(channel, &frame, now);
                if self.core.inputs() != before {
                    self.signs.typed(now);
                }
            }
            Command::LinkLost => {
                self.outbox = None;
                self.core.detach_all();
            }
            Command::End(reason) => self.end(reason, now),
            Command::Leave(reason) => {
                self.source.end = None;
                self.end(reason, now);
            }
        }
    }

    fn end(&mut self, reason: CloseReason, now: Instant) {
        self.core.close_all(reason);
        self.phase = Phase::Ending { until: now + FAREWELL, reason };
    }

    fn attach(&mut self, attachment: Attachment, outbox: Outbox, now: Instant) {
        if self.outbox.as_ref().is_none_or(|old| !old.is_same(&outbox)) {
            // Viewers of an earlier link are gone with it.
            self.core.detach_all();
            self.outbox = Some(outbox);
        }
        self.core.attach(attachment, now);
    }

    fn heard(&mut self, now: Instant) {
        if let Phase::Draining { quiet_at, .. } = &mut self.phase {
            *quiet_at = now + QUIET_AFTER_EXIT;
        }
    }

    fn tick(&mut self, now: Instant) {
        self.core.tick(now);
        if let Phase::Draining { quiet_at, until, .. } = &mut self.phase {
            let held_back = self.core.allowance(now) == 0;
            if now >= *until || (now >= *quiet_at && !held_back) {
                self.drained(now);
            } else if now >= *quiet_at {
                *quiet_at = now + QUIET_AFTER_EXIT;
            }
        }
    }

    /// There is no more output. If the process has ended too, that is the end.
    fn drained(&mut self, now: Instant) {
        if let Phase::Draining { exit, .. } = self.phase {
            self.core.exited(exit, now);
            self.phase = Phase::Over;
            self.say_ended();
        }
    }

    /// Frees the name. May be said twice.
    fn say_ended(&self) {
        let _ = self.ended.send(Ended::Terminal {
            workspace_id: self.name.workspace_id,
            name: self.name.name.clone(),
            epoch: self.name.epoch,
        });
    }

    fn is_finished(&self) -> bool {
        match self.phase {
            Phase::Starting | Phase::Running | Phase::Draining { .. } => false,
            Phase::Over => self.core.viewers() == 0,
            Phase::Ending { until, .. } => self.core.viewers() == 0 || self.outbox.is_none() || Instant::now() >= until,
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let own = match self.phase {
            Phase::Starting | Phase::Running | Phase::Over => None,
            Phase::Draining { quiet_at, until, .. } => Some(quiet_at.min(until)),
            Phase::Ending { until, .. } => Some(until),
        };
        own.into_iter().chain(self.core.deadline(now)).min()
    }

    fn apply_size(&mut self) {
        let (cols, rows) = self.core.size();
        if self.size != (cols, rows) {
            self.size = (cols, rows);
            if let Some(writer) = &self.writer {
                self.signs.resized(Instant::now());
                writer.resize(self.size);
            }
        }
    }
}

/// Sends one thing; the channel, when it was its end.
fn transmit(core: &mut Core, place: mpsc::OwnedPermit<Outgoing>, now: Instant) -> Option<ChannelId> {
    match core.transmit(now)? {
        Transmit::Frame(channel, frame) => {
            place.send(Outgoing::Frame(link::wrap(channel, &frame)));
            None
        }
        Transmit::Closed(channel, reason) => {
            place.send(Outgoing::Message(AgentMessage::ChannelClosed { channel, reason }));
            Some(channel)
        }
    }
}

async fn place_in(outbox: &Option<Outbox>) -> Option<mpsc::OwnedPermit<Outgoing>> {
    match outbox {
        Some(outbox) => outbox.place().await,
        None => None,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}

async fn read_some(reader: &mut Option<Reader>, buffer: &mut [u8]) -> Option<std::io::Result<usize>> {
    Some(reader.as_mut()?.read(buffer).await)
}

async fn write_some(writer: &mut Option<Writer>, bytes: &[u8]) -> Option<std::io::Result<usize>> {
    Some(writer.as_mut()?.write(bytes).await)
}

async fn exit_of(process: &mut Option<Process>) -> Option<Exit> {
    Some(process.as_mut()?.wait().await)
}
