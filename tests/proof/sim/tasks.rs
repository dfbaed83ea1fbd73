//! What is going on: tasks that a scheduler polls in any order, may leave alone for as long as it likes and may drop where
//! they wait, as a process that dies would.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ringfence::domain::node::InstanceId;
use ringfence::ports::Clock;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::time::UnixMillis;

use super::Sim;
use super::users::Wish;

/// Whose process a task runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// A request of its own.
    Request,
    /// A node's object.
    Object(NodeId),
    /// Something outside the control plane: it is not ours to crash.
    Outside,
}

/// What can begin.
#[derive(Debug, Clone)]
pub enum Job {
    /// A user's request.
    Wish(Wish),
    /// The alarm of a node's object, which has set its safety alarm.
    Alarm(NodeId, UnixMillis),
    /// A message of a node's agent has arrived.
    Deliver(NodeId),
    /// A link's end is noticed.
    LinkEnded(NodeId),
    /// An agent takes the next message of its link.
    Obey(InstanceId, u64),
    /// A machine boots.
    Boot(InstanceId),
    /// An agent opens a link.
    Dial(InstanceId),
    /// A deletion that the provider has accepted takes effect.
    Vanish(InstanceId, Duration),
    /// A create call arrives whose caller has given up.
    ArriveLate(NodeId, String, Duration),
    /// The minute's sweeps.
    Cron,
    /// A second key comes with a node's bootstrap token.
    SecondKey(NodeId),
}

/// Something that is going on.
pub struct Task<'a> {
    pub process: Process,
    pub job: Job,
    pub asleep_until: Option<UnixMillis>,
    woken: Arc<Woken>,
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
}

impl<'a> Task<'a> {
    pub fn new(process: Process, job: Job, future: impl Future<Output = ()> + 'a) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Self { process, job, asleep_until: None, woken, future: Box::pin(future) }
    }

    pub fn is_runnable(&self, now: UnixMillis) -> bool {
        self.asleep_until.map_or_else(|| self.woken.0.load(Ordering::Relaxed), |until| now >= until)
    }

    /// Goes on to where it waits next. `true` when it has ended.
    pub fn poll(&mut self, sim: &Sim) -> bool {
        sim.asleep_until.set(None);
        self.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.woken));
        let ended = self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        self.asleep_until = sim.asleep_until.take();
        ended
    }
}

/// Whether what a task waits for has come about.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until somebody polls again: others run in between, or the process dies.
pub async fn pause() {
    let mut polled = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits for time to pass.
pub async fn sleep(sim: &Sim, duration: Duration) {
    let until = sim.now() + duration;
    std::future::poll_fn(|_| {
        if sim.now() >= until {
            return Poll::Ready(());
        }
        sim.asleep_until.set(Some(until));
        Poll::Pending
    })
    .await;
}
