//! What the control plane is told of the machine, on whatever link there is.

use std::collections::VecDeque;
use std::future::pending;

use ringfence_protocol::link::{AgentMessage, BootFailedReport};
use ringfence_protocol::posture::Posture;
use tokio::sync::mpsc;

use super::watch::HostEvent;
use crate::link::{Outbox, Outgoing};

/// Notices that wait for a link; more push the oldest out.
const MAX_NOTICES: usize = 16;

/// What is known of the machine. The default is a machine of which nothing is measured, which takes workspaces.
#[derive(Default)]
pub struct HostReport {
    /// The newest measurement.
    pub posture: Option<Posture>,
    /// Why the machine takes no workspaces.
    pub failure: Option<BootFailedReport>,
    /// What happens to it from now on.
    pub events: Option<mpsc::Receiver<HostEvent>>,
    lost: Option<String>,
    notices: VecDeque<String>,
}

impl HostReport {
    /// The next thing that happens to the machine.
    pub async fn event(&mut self) -> HostEvent {
        match &mut self.events {
            Some(events) => match events.recv().await {
                Some(event) => event,
                None => pending().await,
            },
            None => pending().await,
        }
    }

    /// Takes note of it, and tells it if there is a link.
    pub async fn handle(&mut self, event: HostEvent, outbox: Option<&Outbox>) {
        match event {
            HostEvent::Measured(posture) => {
                self.posture = Some(posture.clone());
                say(outbox, AgentMessage::NodePosture(posture)).await;
            }
            HostEvent::Notice(detail) => {
                if self.notices.len() == MAX_NOTICES {
                    self.notices.pop_front();
                }
                self.notices.push_back(detail);
                self.say_notices(outbox).await;
            }
            HostEvent::Lost(detail) => {
                self.lost = Some(detail.clone());
                say(outbox, AgentMessage::Quarantine { detail }).await;
            }
        }
    }

    /// There is a link, and the node has said hello: what holds of the machine, and whether it takes workspaces.
    pub async fn link_up(&mut self, outbox: &Outbox) {
        if let Some(posture) = &self.posture {
            say(Some(outbox), AgentMessage::NodePosture(posture.clone())).await;
        }
        self.say_notices(Some(outbox)).await;
        let verdict = match (&self.lost, &self.failure) {
            (Some(detail), _) => AgentMessage::Quarantine { detail: detail.clone() },
            (None, Some(failure)) => AgentMessage::BootFailed(failure.clone()),
            (None, None) => AgentMessage::Ready,
        };
        say(Some(outbox), verdict).await;
    }

    async fn say_notices(&mut self, outbox: Option<&Outbox>) {
        if outbox.is_some() {
            while let Some(detail) = self.notices.pop_front() {
                say(outbox, AgentMessage::Notice { workspace_id: None, detail }).await;
            }
        }
    }
}

async fn say(outbox: Option<&Outbox>, message: AgentMessage) {
    if let Some(outbox) = outbox {
        outbox.send(Outgoing::Message(message)).await;
    }
}
