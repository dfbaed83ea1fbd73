//! The alarm of a node's object: a safety alarm first, then the drive, then the next deadline. And what every use case about
//! the node leads to: messages to the agent, closed sockets, events shown, the destroy ticket kept.

use ringfence_protocol::link::{Progress, close_code};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{EventView, SocketMessage};
use worker::WebSocket;

use super::node_object::NodeObject;
use super::sockets::{self, Attached};
use super::{log, relay};
use crate::app::drive_node::{self, Undriven};
use crate::app::outcome::{Driven, Outgoing};
use crate::app::provisioner::Object;
use crate::app::{provisioner, secrets, watch};
use crate::cloudflare::Viewer;
use crate::domain::alarm;
use crate::ports::Clock;

/// Where the object keeps until when the last request that armed its alarm may be about to write.
pub(super) const ARMED_KEY: &str = "armed_until";

impl NodeObject {
    /// Asks for the alarm at `at`. Never moves it later.
    pub(super) async fn wake(&self, at: UnixMillis) -> worker::Result<()> {
        self.look_back().await?;
        self.wakes.borrow_mut().want(at);
        let current = self.state.storage().get_alarm().await?.map(UnixMillis::new);
        if let Some(at) = alarm::sooner(at, current) {
            self.set_alarm(at).await?;
        }
        Ok(())
    }

    /// What earlier instances of this object were armed for, once.
    pub(super) async fn look_back(&self) -> worker::Result<()> {
        if !self.wakes.borrow().looked_back {
            let armed_until = self.state.storage().get(ARMED_KEY).await?;
            self.wakes.borrow_mut().look_back(armed_until, self.host().now());
        }
        Ok(())
    }

    /// One run of the alarm. Catches everything: an alarm that fails too often is never called again.
    pub(super) async fn run_alarm(&self) {
        let safety = self.wakes.borrow_mut().begin(self.host().now());
        if let Err(error) = self.set_alarm(safety).await {
            worker::console_error!("safety alarm: {error}");
        }
        self.faults.strike(self.state.storage(), "alarm").await;
        if let Err(error) = self.look_back().await {
            worker::console_error!("what was armed before: {error}");
        }
        // Without a valid configuration the safety alarm looks again; an object of no node has nothing to look for.
        let Some(config) = self.config() else { return };
        let Some(node) = self.node_id().await else {
            let _ = self.state.storage().delete_alarm().await;
            return;
        };
        let host = self.host();
        self.end_silent_links().await;
        let provisioner = provisioner::NodeProvisioner::new(&host, &config, self);
        let outcome = match self.observe_link(node).await {
            Ok(()) => drive_node::drive_node(&host, &config.settings, &provisioner, node).await,
            Err(error) => Err(Undriven { error, to_agent: Vec::new() }),
        };
        match outcome {
            Ok(driven) => {
                self.drive_succeeded().await;
                self.apply(driven, Some(safety)).await;
            }
            Err(failed) => {
                log::error("drive", node, &failed.error);
                for outgoing in &failed.to_agent {
                    self.tell(outgoing).await;
                }
                let again = self.drive_failed(&config).await;
                self.settle_alarm(self.next_alarm(Some(again)), safety).await;
            }
        }
        self.log_usage(node);
    }

    /// Does what a use case about this node has left to do. `safety` is set when the alarm is running.
    pub(super) async fn apply(&self, driven: Driven, safety: Option<UnixMillis>) {
        for outgoing in &driven.to_agent {
            self.tell(outgoing).await;
        }
        for workspace in &driven.close_viewers {
            self.close_viewers(*workspace);
        }
        if driven.close_all || driven.refused {
            self.end_all_viewers();
            for link in sockets::agents(&self.state) {
                relay::close(&link, close_code::REVOKED, "not trusted any more");
            }
        }
        match (&driven.ticket, driven.gone) {
            (Some(ticket), _) => self.keep_ticket(ticket).await,
            (None, true) => self.drop_ticket().await,
            (None, false) => {}
        }
        if !driven.events.is_empty() {
            self.show_events(&driven.events).await;
        }
        let awaited = if driven.unwritten { self.row_awaited_until().await } else { None };
        match safety {
            Some(safety) if awaited.is_some() => self.settle_alarm(awaited, safety).await,
            Some(_) if driven.gone && self.state.get_websockets().is_empty() && !self.wakes.borrow().are_wanted() => {
                if let Err(error) = self.forget().await {
                    worker::console_error!("forget: {error}");
                }
            }
            Some(safety) => self.settle_alarm(self.next_alarm(driven.next_wake), safety).await,
            None => {
                if let Some(at) = driven.next_wake
                    && let Err(error) = self.wake(at).await
                {
                    worker::console_error!("wake: {error}");
                }
            }
        }
    }

    /// Sends a message to the agent, with its secrets. Without a link it is owed, and comes again after the next hello.
    async fn tell(&self, outgoing: &Outgoing) {
        if sockets::agent(&self.state).is_none() {
            return;
        }
        let Some(config) = self.config() else { return };
        let host = self.host();
        match secrets::complete(&host, &config.keyring, outgoing).await {
            Ok(Some(message)) => {
                relay::tell_agent(&self.state, &message);
            }
            // It is over by now.
            Ok(None) => {}
            // It stays owed: the next drive sends it again, and the workspace's own deadline ends the waiting.
            Err(error) => {
                worker::console_error!("secrets: {}", error.log.unwrap_or_default());
                if let Err(error) = self.wake(host.now() + alarm::RETRY).await {
                    worker::console_error!("wake: {error}");
                }
            }
        }
    }

    /// Shows those who look at a workspace how far it is. Nothing is kept: the next one says it anew.
    pub(super) fn show_progress(&self, progress: &Progress) {
        let message = SocketMessage::Progress(progress.clone());
        for socket in sockets::of_workspace(&self.state, progress.workspace_id) {
            if let Some(Attached::Events { .. }) = sockets::attached(&socket) {
                send(&socket, &message);
            }
        }
    }

    /// Tells every viewer of a terminal that it is over.
    pub(super) fn end_all_viewers(&self) {
        for socket in self.state.get_websockets() {
            match sockets::attached(&socket) {
                Some(Attached::Terminal { .. } | Attached::Opening { .. }) => {
                    relay::end_viewer(&self.state, &self.sockets, &socket, close_code::ENDED, "node ended");
                }
                Some(Attached::Agent { .. } | Attached::Events { .. }) | None => {}
            }
        }
    }

    /// The earliest of the node's next deadline and the ends of the sessions that have sockets here; closes those that are over.
    fn next_alarm(&self, deadline: Option<UnixMillis>) -> Option<UnixMillis> {
        let now = self.host().now();
        let mut next = deadline;
        for socket in self.state.get_websockets() {
            let Some(ends_at) = sockets::attached(&socket).and_then(|attached| attached.ends_at()) else { continue };
            if ends_at <= now {
                relay::end_viewer(&self.state, &self.sockets, &socket, close_code::REVOKED, "session ended");
            } else {
                next = Some(next.map_or(ends_at, |next| next.min(ends_at)));
            }
        }
        next
    }

    /// The alarm's last act: the next deadline, or an earlier wake-up that was asked for while it ran. Only the safety alarm,
    /// which is our own, is moved later.
    async fn settle_alarm(&self, deadline: Option<UnixMillis>, safety: UnixMillis) {
        let storage = self.state.storage();
        let current = storage.get_alarm().await.ok().flatten().map(UnixMillis::new);
        let next = self.wakes.borrow_mut().settle(deadline, current, safety);
        let result = match next {
            Some(at) => self.set_alarm(at).await,
            None => storage.delete_alarm().await,
        };
        if let Err(error) = result {
            worker::console_error!("next alarm: {error}");
        }
    }

    async fn set_alarm(&self, at: UnixMillis) -> worker::Result<()> {
        // An instant in the past is now.
        self.count_write();
        let date = js_sys::Date::new(&(at.get() as f64).into());
        self.state.storage().set_alarm(worker::ScheduledTime::new(date)).await
    }

    /// Shows a new viewer of events what there is and what has happened so far.
    pub(super) async fn show_history(&self, socket: &WebSocket, viewer: &Viewer) {
        match watch::history(&self.host(), viewer.user, viewer.workspace).await {
            Ok(messages) => messages.iter().for_each(|message| send(socket, message)),
            Err(error) => {
                relay::close(socket, close_code::AGENT_AWAY, "try again");
                worker::console_error!("history: {}", error.log.unwrap_or_default());
            }
        }
    }

    /// Shows every viewer of events the new ones that concern its workspace, and how things stand now.
    async fn show_events(&self, events: &[EventView]) {
        for socket in self.state.get_websockets() {
            let Some(Attached::Events { viewer, .. }) = sockets::attached(&socket) else { continue };
            let items: Vec<EventView> =
                events.iter().filter(|event| watch::concerns(event, viewer.workspace)).cloned().collect();
            if items.is_empty() {
                continue;
            }
            send(&socket, &SocketMessage::Events { items });
            if let Ok(snapshot) = watch::snapshot(&self.host(), viewer.workspace).await {
                send(&socket, &snapshot);
            }
        }
    }
}

fn send(socket: &WebSocket, message: &SocketMessage) {
    if let Ok(text) = serde_json::to_string(message) {
        let _ = socket.send_with_str(text);
    }
}
