//! Builds routers from the route table, so that a path stands in one place and every route can be enumerated.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use ringfence_protocol::routes::{Endpoint, Method, Principal};

use super::App;

/// A router for one principal.
pub struct Table {
    principals: &'static [Principal],
    router: Router<App>,
}

impl Table {
    /// A router without routes that takes only endpoints of these principals.
    pub fn new(principals: &'static [Principal]) -> Self {
        Self { principals, router: Router::new() }
    }

    /// Serves an endpoint. One of another principal is left out, which the test of the whole table finds.
    #[must_use]
    pub fn serve<H: Handler<T, App>, T: 'static>(mut self, endpoint: &'static Endpoint, handler: H) -> Self {
        if !self.principals.contains(&endpoint.principal) {
            return self;
        }
        let filter = match endpoint.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Delete => MethodFilter::DELETE,
        };
        let method: MethodRouter<App> = on(filter, handler);
        self.router = self.router.route(endpoint.path, method);
        self
    }

    /// The router.
    pub fn build(self) -> Router<App> {
        self.router
    }
}
