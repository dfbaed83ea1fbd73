//! The cloud: machines with unique names, and every way in which a call can go wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use ringfence::app::outcome::{Accounts, Bootstrap, Cloud, Provisioner};
use ringfence::domain::node::{Deletion, InstanceId};
use ringfence::error::Result as AppResult;
use ringfence::ports::{Clock, Entropy};
use ringfence::provider::{
    CreateInstance, ErrorClass, Instance, InstanceStatus, Inventory, Mark, ProviderError, Result, not_ours,
};
use ringfence::store::bootstrap;
use ringfence::store::credentials::CredentialRow;
use ringfence::store::nodes::NodeRow;
use ringfence_protocol::ids::{JwtId, NodeId};
use ringfence_protocol::time::UnixMillis;

use super::Sim;
use super::agents::Machine;
use super::tasks::{Job, pause, sleep};
use crate::support::cloud::error;

/// How long the provider's reads may be behind: less than what the node's machine waits for lists to settle.
const MAX_LAG_SECS: u64 = 120;
/// How long a create call may be on its way after its caller gave up.
const MAX_LATE_MS: u64 = 4000;

/// What the foreign machine is called.
pub fn foreign() -> InstanceId {
    InstanceId("foreign".into())
}

/// The account's state beside its machines.
#[derive(Default)]
pub struct Sky {
    /// Refuses every call in this way until then.
    pub mood: Cell<Option<(ErrorClass, UnixMillis)>>,
    /// From when on reads show a machine.
    shown_from: RefCell<BTreeMap<InstanceId, UnixMillis>>,
    /// Machines that are being deleted.
    vanishing: RefCell<BTreeMap<InstanceId, ()>>,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    LostBefore,
    LostAfter,
    Refused(ErrorClass),
    /// The caller gives up, and the call has its effect later.
    Late,
}

impl Sim {
    /// A machine of somebody else's in the account: with our kind of name and labels, and another installation's mark.
    pub fn plant_foreign_machine(&self) {
        let mark = Mark { installation: "theirs".into(), node: self.id() };
        let machine = Instance {
            id: foreign(),
            name: ringfence::provider::machine_name(mark.node),
            labels: mark.labels(),
            status: InstanceStatus::Running,
            ipv4: None,
            ipv6: None,
            created_at: None,
            region: None,
            size: None,
        };
        self.world.cloud.machines.borrow_mut().insert(foreign(), machine);
    }

    /// A call begins: it may be slow, and may go wrong.
    async fn call(&self, name: &str) -> Result<Option<Fault>> {
        pause().await;
        let wrong = self.goes_wrong();
        if wrong && self.chance.one_in(3) {
            // Longer than the safety alarm waits, at times.
            sleep(self, Duration::from_millis(self.chance.between(500, 40_000))).await;
        }
        if let Some((class, until)) = self.sky.mood.get()
            && self.now() < until
        {
            return Err(error(class));
        }
        let fault = wrong.then(|| {
            use ErrorClass::{Auth, Capacity, Invalid, Quota, RateLimited, Transient};
            match self.chance.below(8) {
                0 | 1 => Fault::LostBefore,
                2 | 3 => Fault::LostAfter,
                4 => Fault::Late,
                _ => Fault::Refused(*self.chance.pick(&[Capacity, Quota, Auth, RateLimited, Invalid, Transient])),
            }
        });
        self.note(|| format!("cloud: {name}, {fault:?}"));
        match fault {
            Some(Fault::Refused(class)) => Err(error(class)),
            Some(Fault::LostBefore) => Err(error(ErrorClass::Unknown)),
            other => Ok(other),
        }
    }

    async fn answer<T>(&self, fault: Option<Fault>, result: Result<T>) -> Result<T> {
        pause().await;
        match fault {
            Some(_) => Err(error(ErrorClass::Unknown)),
            None => result,
        }
    }

    fn listed(&self, installation: &str) -> Vec<Instance> {
        let machines = self.world.cloud.machines.borrow();
        let ours = machines.values().filter(|machine| machine.installation() == Some(installation));
        ours.filter(|machine| self.is_shown(&machine.id)).cloned().collect()
    }

    fn is_shown(&self, id: &InstanceId) -> bool {
        self.sky.shown_from.borrow().get(id).is_none_or(|from| self.now() >= *from)
    }

    /// A create call arrives: the machine is made, unless one of its name is there.
    pub fn arrive(&self, order: &CreateInstance<'_>) -> Result<Instance> {
        let instance = self.world.cloud.make(order)?;
        if self.goes_wrong() {
            let from = self.now() + Duration::from_secs(self.chance.between(1, MAX_LAG_SECS));
            self.sky.shown_from.borrow_mut().insert(instance.id.clone(), from);
        }
        self.machines.borrow_mut().insert(instance.id.clone(), Machine::new(self, order));
        self.begin(Job::Boot(instance.id.clone()));
        self.after_write();
        Ok(instance)
    }

    /// A machine is no more.
    pub fn vanish(&self, id: &InstanceId) {
        let made = self.world.cloud.machines.borrow_mut().remove(id);
        self.sky.vanishing.borrow_mut().remove(id);
        self.note(|| format!("machine {} is no more", id.0));
        if made.is_none() {
            return;
        }
        let Some(machine) = self.machines.borrow_mut().remove(id) else { return };
        let (now, silently) = (self.now(), self.chance.one_in(2));
        let linked = self.with_object(machine.node, |object| {
            let link = object.link.as_mut().filter(|link| link.instance == *id);
            link.map(|link| link.silent_since = Some(now)).is_some()
        });
        if linked && !silently {
            self.close_link(machine.node);
        }
    }
}

impl Cloud for &Sim {
    async fn create(&self, order: &CreateInstance<'_>) -> Result<Instance> {
        let fault = self.call("create").await?;
        if fault == Some(Fault::Late) {
            let delay = Duration::from_millis(self.chance.between(100, MAX_LATE_MS));
            self.begin(Job::ArriveLate(order.mark.node, order.user_data.to_owned(), delay));
            return Err(error(ErrorClass::Unknown));
        }
        let made = self.arrive(order);
        self.answer(fault, made).await
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>> {
        let fault = self.call("get").await?;
        let found = self.world.cloud.machines.borrow().get(id).cloned();
        self.answer(fault, Ok(found.filter(|_| self.is_shown(id)))).await
    }

    async fn find(&self, node: NodeId) -> Result<Vec<Instance>> {
        let fault = self.call("find").await?;
        let mut found = self.world.cloud.marked(node);
        found.retain(|instance| self.is_shown(&instance.id));
        self.answer(fault, Ok(found)).await
    }

    async fn delete(&self, mark: &Mark, id: &InstanceId) -> Result<Deletion> {
        let fault = self.call("delete").await?;
        if self.world.cloud.machines.borrow().get(id).is_some_and(|machine| !mark.owns(machine)) {
            return Err(not_ours());
        }
        if !self.world.cloud.machines.borrow().contains_key(id) || !self.is_shown(id) {
            return self.answer(fault, Ok(Deletion::NotFound)).await;
        }
        // Accepted; that it takes effect may take a while, or may be forgotten.
        if self.goes_wrong() {
            if !self.chance.one_in(3) && self.sky.vanishing.borrow_mut().insert(id.clone(), ()).is_none() {
                self.begin(Job::Vanish(id.clone(), Duration::from_secs(self.chance.between(1, 30))));
            }
        } else {
            self.vanish(id);
        }
        self.answer(fault, Ok(Deletion::Accepted)).await
    }

    async fn list(&self, installation: &str) -> Result<Inventory> {
        let fault = self.call("list").await?;
        let instances = self.listed(installation);
        self.answer(fault, Ok(Inventory { instances, complete: true })).await
    }
}

/// A user's account, of which a sweep opens one after the other.
impl<'a> Accounts for &'a Sim {
    type Cloud = &'a Sim;

    fn account(&self, _: &CredentialRow) -> Result<&'a Sim> {
        Ok(self)
    }
}

impl<'a> Provisioner for &'a Sim {
    type Cloud = &'a Sim;

    async fn cloud(&self, node: &NodeRow) -> Result<&'a Sim> {
        match node.sealed() {
            Some(_) => Ok(self),
            None => Err(ProviderError { code: "cannot_open".into(), ..error(ErrorClass::Auth) }),
        }
    }

    fn end_viewers(&self) {}

    async fn bootstrap(&self, node: &NodeRow, now: UnixMillis) -> AppResult<Bootstrap> {
        let jti: JwtId = self.id();
        let statements = vec![bootstrap::insert(jti, node.id, now + Duration::from_secs(900))];
        Ok(Bootstrap { user_data: jti.to_string(), statements })
    }
}
