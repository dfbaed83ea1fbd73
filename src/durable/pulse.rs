//! Whether an agent's link still has a pulse. A machine that is cut off, or deleted at its provider, ends no connection, and
//! nothing else would tell: agents ping, and the platform keeps when it last answered one without waking the object. And what is recorded
//! of a link is put right where it is not what there is.

use std::time::Duration;

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::close_code;
use ringfence_protocol::time::UnixMillis;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::node_object::NodeObject;
use super::relay;
use super::sockets::{self, Attached, Recorded};
use crate::app::agent_report;
use crate::ports::Clock;

/// How far apart the clocks of two instances of an object may be, generously.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);

#[wasm_bindgen]
extern "C" {
    /// The object's state, as the platform has it.
    type ObjectState;

    /// When a socket's last ping was answered; nothing before the first.
    #[wasm_bindgen(method, catch, js_name = getWebSocketAutoResponseTimestamp)]
    fn answered_at(this: &ObjectState, socket: &JsValue) -> Result<Option<js_sys::Date>, JsValue>;
}

impl NodeObject {
    /// Closes links that have been silent for too long. An agent that is only slow dials again.
    pub(super) async fn end_silent_links(&self) {
        let Some(config) = self.config() else { return };
        let state: &ObjectState = self.object.handle().unchecked_ref();
        let now = self.host().now();
        for link in sockets::agents(&self.state) {
            let Some(Attached::Agent { opened_at, .. }) = sockets::attached(&link) else { continue };
            let answered = state.answered_at(link.as_ref().as_ref()).ok().flatten();
            let answered_at = answered.map_or(opened_at, |date| UnixMillis::new(date.get_time() as i64));
            if now.since(answered_at.max(opened_at)) <= config.settings.timing.silence {
                continue;
            }
            relay::close(&link, close_code::AGENT_AWAY, "silent for too long");
            // Its other end may never answer: what follows from its end follows now.
            if sockets::agent(&self.state).is_none() {
                self.end_terminals();
                self.link_lost().await;
            }
        }
    }

    /// Puts right what is recorded of the link. One that ended with the object's process left no event behind; of one whose hello is
    /// on its way the row still tells what was before; and one with gaps is closed once the database is back, so that its agent
    /// says everything anew. Until then nothing on its machine counts as idle.
    pub(super) async fn observe_link(&self, node: NodeId) -> crate::error::Result<()> {
        let host = self.host();
        let Some(link) = sockets::agent(&self.state) else {
            return agent_report::link_closed(&host, node, host.now()).await;
        };
        let Some(Attached::Agent { opened_at, recorded, .. }) = sockets::attached(&link) else { return Ok(()) };
        match recorded {
            Recorded::All => Ok(()),
            Recorded::Nothing => agent_report::link_closed(&host, node, opened_at - CLOCKS_DIFFER).await,
            Recorded::Gaps => {
                agent_report::link_closed(&host, node, host.now()).await?;
                relay::close(&link, close_code::AGENT_AWAY, "not recorded, say it again");
                self.end_terminals();
                Ok(())
            }
        }
    }
}
