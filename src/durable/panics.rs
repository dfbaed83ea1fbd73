//! A panic resets the object it happened in.
//!
//! A panic stops WebAssembly where it stands: the promise of the handler would never end, its caller would wait for ever and
//! the platform would take the object's alarm for still running for a quarter of an hour. So the object is aborted: callers
//! get an error at once, the alarm is called again, agent and viewers come back by themselves. The next event gets a fresh
//! instance of the Worker's code.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::pin::pin;

use wasm_bindgen::{JsCast, JsValue};
use worker::State;

thread_local! {
    /// The object whose handler is running at this instant, between two awaits.
    static RUNNING: RefCell<Option<JsValue>> = const { RefCell::new(None) };
}

/// An object as the platform knows it, to be aborted.
pub(super) struct Resettable(JsValue);

impl Resettable {
    /// Keeps a handle on the object beside its state.
    pub(super) fn of(state: State) -> (Self, State) {
        let inner = state._inner();
        (Self(inner.clone().into()), inner.into())
    }

    /// The object's state as the platform has it.
    pub(super) const fn handle(&self) -> &JsValue {
        &self.0
    }

    /// Runs a handler of the object, which a panic in it resets.
    pub(super) async fn guard<T>(&self, handler: impl Future<Output = T>) -> T {
        let mut handler = pin!(handler);
        std::future::poll_fn(|context| {
            RUNNING.set(Some(self.0.clone()));
            let poll = handler.as_mut().poll(context);
            RUNNING.set(None);
            poll
        })
        .await
    }
}

/// Has every panic logged, and the object it happened in reset.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        console_error_panic_hook::hook(info);
        if let Some(object) = RUNNING.take() {
            // Nobody is left to tell when this fails too.
            let _ = abort_soon(&object);
        }
    }));
}

/// Not at once: the runtime's glue must first see the panic's trap, to replace the instance that is broken now. A plain
/// JavaScript function is what outlives that instance.
fn abort_soon(object: &JsValue) -> Result<(), JsValue> {
    let member = |of: &JsValue, name: &str| js_sys::Reflect::get(of, &name.into())?.dyn_into::<js_sys::Function>();
    let abort = member(object, "abort")?.bind1(object, &"panicked".into());
    member(&js_sys::global(), "setTimeout")?.call2(&JsValue::UNDEFINED, &abort, &0.into()).map(drop)
}
