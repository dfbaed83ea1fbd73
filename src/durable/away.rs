//! What a node's object keeps and does for when the database is away: the destroy ticket, and alarms that come more and more
//! seldom.

use std::cell::{Cell, RefCell};

use ringfence_protocol::time::UnixMillis;
use worker::Storage;

use super::node_object::NodeObject;
use crate::app::provisioner::{self, Object};
use crate::app::ticket::{Outcome, destroy_by_ticket};
use crate::config::Config;
use crate::domain::alarm;
use crate::domain::ticket::DestroyTicket;
use crate::ports::Clock;

/// Where the object keeps its destroy ticket.
const TICKET_KEY: &str = "destroy_ticket";
/// Where the object keeps how many drives have failed in a row.
const FAILURES_KEY: &str = "failed_drives";

/// What of it is in memory.
#[derive(Default)]
pub(super) struct Away {
    /// The ticket as storage has it, once it was written by this instance.
    kept: RefCell<Option<String>>,
    /// How many drives have failed in a row, once that is known.
    failures: Cell<Option<u32>>,
}

impl Away {
    async fn failures(&self, storage: &Storage) -> u32 {
        match self.failures.get() {
            Some(failures) => failures,
            None => storage.get(FAILURES_KEY).await.ok().flatten().unwrap_or(0),
        }
    }
}

impl Object for NodeObject {
    fn end_viewers(&self) {
        self.end_all_viewers();
    }

    async fn keep_ticket(&self, ticket: &DestroyTicket) {
        let text = serde_json::to_string(ticket).unwrap_or_default();
        if self.away.kept.borrow().as_ref() == Some(&text) {
            return;
        }
        self.count_write();
        match self.state.storage().put(TICKET_KEY, &text).await {
            Ok(()) => drop(self.away.kept.replace(Some(text))),
            Err(error) => worker::console_error!("destroy ticket: {error}"),
        }
    }
}

impl NodeObject {
    /// The machine is gone: there is nothing to delete any more.
    pub(super) async fn drop_ticket(&self) {
        self.away.kept.replace(None);
        self.count_write();
        if let Err(error) = self.state.storage().delete(TICKET_KEY).await {
            worker::console_error!("destroy ticket: {error}");
        }
    }

    /// A drive has got through: the database is there.
    pub(super) async fn drive_succeeded(&self) {
        let storage = self.state.storage();
        if self.away.failures(&storage).await > 0 {
            let _ = storage.delete(FAILURES_KEY).await;
        }
        self.away.failures.set(Some(0));
    }

    /// A drive has failed: deletes the machine by the ticket if its time has come. Gives when to look again.
    pub(super) async fn drive_failed(&self, config: &Config) -> UnixMillis {
        let storage = self.state.storage();
        let failures = self.away.failures(&storage).await;
        self.away.failures.set(Some(failures.saturating_add(1)));
        self.count_write();
        let _ = storage.put(FAILURES_KEY, failures.saturating_add(1)).await;
        let pause = alarm::retry_after(failures);
        let now = self.host().now();
        let text: Option<String> = storage.get(TICKET_KEY).await.ok().flatten();
        let Some(ticket) = text.and_then(|text| serde_json::from_str::<DestroyTicket>(&text).ok()) else {
            return now + pause;
        };
        let outcome = match provisioner::account_of_ticket(config, &ticket) {
            Ok(account) => destroy_by_ticket(&account, &config.installation_id, &ticket, now).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Outcome::NotDue | Outcome::NothingFound) => {}
            Ok(Outcome::Deleted) => worker::console_log!("destroy by ticket: {} was deleted", ticket.machine_name),
            Err(error) => worker::console_error!("destroy by ticket: {}", error.message),
        }
        ticket.next_look(now, pause)
    }
}
