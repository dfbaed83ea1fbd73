//! Ringfence's control plane: entry points only.

pub mod app;
pub mod cloudflare;
pub mod config;
pub mod domain;
pub mod error;
pub mod ports;
pub mod provider;
pub mod store;

#[cfg(target_arch = "wasm32")]
mod entry {
    use worker::{Context, DurableObject, Env, HttpRequest, Request, Response, Result, State, durable_object, event};

    #[event(fetch)]
    async fn fetch(_request: HttpRequest, _env: Env, _ctx: Context) -> Result<Response> {
        Response::ok("ok")
    }

    /// One per node.
    #[durable_object]
    pub struct NodeObject {
        _state: State,
    }

    impl DurableObject for NodeObject {
        fn new(state: State, _env: Env) -> Self {
            Self { _state: state }
        }
        async fn fetch(&self, _req: Request) -> Result<Response> {
            Response::ok("node")
        }
    }
}
