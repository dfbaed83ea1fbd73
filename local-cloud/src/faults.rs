//! Faults on command: what goes wrong with which request, and how often.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const ORDERED_MAX: usize = 100;
const TIMES_MAX: u32 = 10_000;
const DELAY_MAX_MS: u64 = 60_000;
const RETRY_AFTER_MAX_SECS: u64 = 3600;
const DEFAULT_RETRY_AFTER_SECS: u64 = 1;

/// A kind of request, as faults and the request log name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Stands for every operation when a fault is ordered.
    Any,
    /// `POST /v1/servers`
    CreateServer,
    /// `GET /v1/servers`
    ListServers,
    /// `GET /v1/servers/{id}`
    GetServer,
    /// `PUT /v1/servers/{id}`
    UpdateServer,
    /// `DELETE /v1/servers/{id}`
    DeleteServer,
    /// `POST /v1/servers/{id}/actions/poweron`
    PowerOnServer,
    /// `POST /v1/servers/{id}/actions/poweroff`
    PowerOffServer,
    /// `POST /v1/servers/{id}/actions/shutdown`
    ShutdownServer,
    /// `POST /v1/firewalls`
    CreateFirewall,
    /// `GET /v1/firewalls`
    ListFirewalls,
    /// `GET /v1/firewalls/{id}`
    GetFirewall,
    /// `DELETE /v1/firewalls/{id}`
    DeleteFirewall,
    /// Every list of actions.
    ListActions,
    /// Every way to look at one action.
    GetAction,
    /// `GET /v1/server_types` and one of them
    ServerTypes,
    /// `GET /v1/locations` and one of them
    Locations,
    /// `GET /v1/datacenters` and one of them
    Datacenters,
    /// `GET /v1/images` and one of them
    Images,
    /// `GET /v1/pricing`
    Pricing,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The request is carried out; the connection closes without an answer.
    LoseAnswerAfterEffect,
    /// The request is not carried out; the connection closes without an answer.
    LoseAnswerBeforeEffect,
    /// 429 with `Retry-After`.
    RateLimited,
    /// 412: no capacity.
    ResourceUnavailable,
    /// The request is carried out after a while.
    Delay,
}

/// The body of `POST /_faults`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultOrder {
    /// Which requests.
    pub on: Operation,
    /// What goes wrong with them.
    pub fault: Fault,
    /// How many of them.
    #[serde(default = "once")]
    pub times: u32,
    /// For `rate_limited`.
    #[serde(default)]
    pub retry_after_secs: Option<u64>,
    /// For `delay`.
    #[serde(default)]
    pub delay_ms: Option<u64>,
}

/// An order and how much of it is left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultView {
    /// Grows with each order.
    pub id: u64,
    /// What was ordered.
    #[serde(flatten)]
    pub order: FaultOrder,
    /// How often it still happens.
    pub remaining: u32,
    /// How often it happened.
    pub fired: u32,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    LoseAnswerAfterEffect,
    LoseAnswerBeforeEffect,
    RateLimited { retry_after_secs: u64 },
    ResourceUnavailable,
    Delay(Duration),
}

/// Orders, oldest first. Spent ones stay listed until cleared, or until there is no room for new ones.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    orders: Vec<FaultView>,
    last_id: u64,
}

fn once() -> u32 {
    1
}

impl Faults {
    /// A reason when the order cannot be.
    pub(crate) fn order(&mut self, order: FaultOrder) -> Result<FaultView, String> {
        let is_delay = order.fault == Fault::Delay;
        if !(1..=TIMES_MAX).contains(&order.times) {
            return Err(format!("times must be 1 to {TIMES_MAX}"));
        }
        if is_delay != order.delay_ms.is_some() || order.delay_ms.is_some_and(|ms| ms > DELAY_MAX_MS) {
            return Err(format!("delay, and only delay, needs a delay_ms of at most {DELAY_MAX_MS}"));
        }
        if order.retry_after_secs.is_some_and(|secs| secs > RETRY_AFTER_MAX_SECS || order.fault != Fault::RateLimited) {
            return Err(format!("retry_after_secs is for rate_limited only and at most {RETRY_AFTER_MAX_SECS}"));
        }
        if self.orders.len() >= ORDERED_MAX {
            self.orders.retain(|order| order.remaining > 0);
        }
        if self.orders.len() >= ORDERED_MAX {
            return Err(format!("{ORDERED_MAX} faults are ordered already; DELETE /_faults clears them"));
        }
        self.last_id += 1;
        let view = FaultView { id: self.last_id, remaining: order.times, fired: 0, order };
        self.orders.push(view.clone());
        Ok(view)
    }

    /// The oldest order that fits, if any; it is used up by one.
    pub(crate) fn strike(&mut self, operation: Operation) -> Option<Mishap> {
        let fits = |view: &&mut FaultView| {
            view.remaining > 0 && (view.order.on == operation || view.order.on == Operation::Any)
        };
        let view = self.orders.iter_mut().find(fits)?;
        view.remaining -= 1;
        view.fired += 1;
        Some(match view.order.fault {
            Fault::LoseAnswerAfterEffect => Mishap::LoseAnswerAfterEffect,
            Fault::LoseAnswerBeforeEffect => Mishap::LoseAnswerBeforeEffect,
            Fault::RateLimited => Mishap::RateLimited {
                retry_after_secs: view.order.retry_after_secs.unwrap_or(DEFAULT_RETRY_AFTER_SECS),
            },
            Fault::ResourceUnavailable => Mishap::ResourceUnavailable,
            Fault::Delay => Mishap::Delay(Duration::from_millis(view.order.delay_ms.unwrap_or(0))),
        })
    }

    pub(crate) fn list(&self) -> &[FaultView] {
        &self.orders
    }

    pub(crate) fn clear(&mut self) {
        self.orders.clear();
    }
}
