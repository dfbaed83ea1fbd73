//! Whether an agent's link still has a pulse. A machine that is cut off, or deleted at its provider, ends no connection, and
//! nothing else would tell: agents ping, and the platform keeps when it last answered one without waking the object.

use ringfence_protocol::link::close_code;
use ringfence_protocol::time::UnixMillis;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::node_object::NodeObject;
use super::relay;
use super::sockets::{self, Attached};
use crate::ports::Clock;

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
}
