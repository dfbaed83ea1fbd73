//! One task per machine that is on: starts it, starts it again when it breaks, ends it when told to.
//!
//! ```text
//!            boot                exit 0, or any exit after Shutdown
//!  (start) ───────▶ up ─────────────────────────────────────────▶ off, told through `powered_off`
//!             ▲     │ │ Stop
//!             │     │ └─────────▶ cleared, told to whoever ordered it
//!   restart_delay   │ exit ≠ 0, signal, boot failed (a reboot: at once)
//!             └─── broken
//! ```
//! Whatever else runs in the machine is ended with its agent, as systemd does with a unit's control group.

use super::{Driver, Exit, RunningMachine};
use crate::state::ServerId;
use rustix::process::Signal;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

const ORDERS_QUEUED_MAX: usize = 32;

/// What a machine is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MachineView {
    /// The agent's process, while there is one.
    pub(crate) pid: Option<i32>,
    /// How often the agent was started again since the machine was switched on.
    pub(crate) restarts: u64,
}

enum Order {
    Signal(Signal, oneshot::Sender<bool>),
    Shutdown,
    Stop { grace: Duration, done: oneshot::Sender<bool> },
}

/// The hand on a machine that is on.
#[derive(Debug)]
pub(crate) struct MachineHandle {
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<MachineView>,
}

/// A way to give orders to a machine without the right to stop it.
pub(crate) struct MachineOrders(mpsc::Sender<Order>);

struct Supervisor {
    driver: Driver,
    id: ServerId,
    restart_delay: Duration,
    orders: mpsc::Receiver<Order>,
    view: watch::Sender<MachineView>,
    shutdown_asked: bool,
}

enum Next {
    Restart,
    PoweredOff,
    Stopped,
}

/// Switches a machine on. `powered_off` runs when it went off without a `stop`.
pub(crate) fn switch_on(
    driver: Driver,
    id: ServerId,
    restart_delay: Duration,
    powered_off: impl FnOnce() + Send + 'static,
) -> MachineHandle {
    let (order_sender, orders) = mpsc::channel(ORDERS_QUEUED_MAX);
    let (view, view_receiver) = watch::channel(MachineView::default());
    let supervisor = Supervisor { driver, id, restart_delay, orders, view, shutdown_asked: false };
    tokio::spawn(async move {
        if supervisor.run().await {
            powered_off();
        }
    });
    MachineHandle { orders: order_sender, view: view_receiver }
}

impl MachineHandle {
    pub(crate) fn view(&self) -> MachineView {
        *self.view.borrow()
    }

    /// For orders that leave the machine in place.
    pub(crate) fn orders(&self) -> MachineOrders {
        MachineOrders(self.orders.clone())
    }

    /// Ends the machine; with a grace period it is asked first. False when some process would not end.
    pub(crate) async fn stop(self, grace: Duration) -> bool {
        let (done, told) = oneshot::channel();
        // A supervisor that is gone has cleared its machine.
        self.orders.send(Order::Stop { grace, done }).await.is_err() || told.await.unwrap_or(true)
    }
}

impl MachineOrders {
    /// Sends a signal to the agent alone; false when there is none.
    pub(crate) async fn signal(&self, signal: Signal) -> bool {
        let (done, told) = oneshot::channel();
        self.0.send(Order::Signal(signal, done)).await.is_ok() && told.await.unwrap_or(false)
    }

    /// Asks the machine to shut itself down; it may ignore that.
    pub(crate) async fn shutdown(&self) {
        let _ = self.0.send(Order::Shutdown).await;
    }
}

impl Supervisor {
    /// True when the machine powered itself off.
    async fn run(mut self) -> bool {
        loop {
            let next = match self.driver.boot(self.id).await {
                Ok(machine) => self.attend(machine).await,
                Err(error) => {
                    self.driver.note(self.id, &format!("boot failed: {error:#}"));
                    self.pause().await
                }
            };
            match next {
                Next::Restart => self.view.send_modify(|view| view.restarts += 1),
                Next::PoweredOff => return true,
                Next::Stopped => return false,
            }
        }
    }

    async fn attend(&mut self, mut machine: RunningMachine) -> Next {
        self.view.send_modify(|view| view.pid = machine.pid());
        let exit = loop {
            tokio::select! {
                exit = machine.exited() => break exit,
                order = self.orders.recv() => match order {
                    Some(Order::Signal(signal, done)) => drop(done.send(machine.signal_agent(signal).await)),
                    Some(Order::Shutdown) => {
                        self.shutdown_asked = true;
                        // A machine without an agent has nothing that could refuse.
                        if !machine.ask_to_end().await && machine.pid().is_none() {
                            break Exit::PoweredOff;
                        }
                    }
                    Some(Order::Stop { grace, done }) => {
                        if !grace.is_zero() && machine.ask_to_end().await {
                            let _ = tokio::time::timeout(grace, machine.exited()).await;
                        }
                        return self.stopped(done).await;
                    }
                    None => return self.abandoned().await,
                },
            }
        };
        self.view.send_modify(|view| view.pid = None);
        self.driver.clear(self.id).await;
        match exit {
            Exit::PoweredOff => Next::PoweredOff,
            Exit::Rebooted => Next::Restart,
            Exit::Failed(_) if self.shutdown_asked => Next::PoweredOff,
            Exit::Failed(reason) => {
                self.driver.note(self.id, &reason);
                self.pause().await
            }
        }
    }

    /// Between a break and the next start. Orders are obeyed meanwhile.
    async fn pause(&mut self) -> Next {
        let until = Instant::now() + self.restart_delay;
        loop {
            tokio::select! {
                () = sleep_until(until) => return Next::Restart,
                order = self.orders.recv() => match order {
                    Some(Order::Signal(_, done)) => drop(done.send(false)),
                    Some(Order::Shutdown) => return Next::PoweredOff,
                    Some(Order::Stop { done, .. }) => return self.stopped(done).await,
                    None => return self.abandoned().await,
                },
            }
        }
    }

    async fn stopped(&mut self, done: oneshot::Sender<bool>) -> Next {
        let cleared = self.driver.clear(self.id).await;
        let _ = done.send(cleared);
        Next::Stopped
    }

    /// Nobody can give orders any more: do not leave processes behind.
    async fn abandoned(&mut self) -> Next {
        self.driver.clear(self.id).await;
        Next::Stopped
    }
}
