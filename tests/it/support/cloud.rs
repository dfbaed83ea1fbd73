//! A cloud in memory: machines with unique names, and faults before and after the effect.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ringfence::app::outcome::Cloud;
use ringfence::domain::node::{Deletion, InstanceId};
use ringfence::provider::{
    CreateInstance, ErrorClass, Instance, InstanceStatus, Inventory, Mark, ProviderError, Result, machine_name,
    not_ours,
};
use ringfence_protocol::ids::NodeId;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the call passes.
    None,
    /// The call has its effect, the answer is lost.
    LostAfter,
    /// The call never arrives, and nobody can tell.
    LostBefore,
    /// The provider answers with this class instead.
    Refused(ErrorClass),
    /// A list leaves everything out.
    EmptyList,
}

/// A cloud.
#[derive(Default)]
pub struct FakeCloud {
    pub machines: RefCell<BTreeMap<InstanceId, Instance>>,
    /// The names of all machines that there ever were.
    pub ever: RefCell<BTreeSet<String>>,
    /// Faults of the next calls, in order.
    pub faults: RefCell<VecDeque<Fault>>,
    /// Create calls that arrived.
    pub creates: Cell<u32>,
    /// Calls of any kind.
    pub calls: Cell<u32>,
    /// Whether lists do not come to their end.
    pub cut_short: Cell<bool>,
    next_id: Cell<u64>,
}

impl FakeCloud {
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.borrow_mut().extend(faults);
    }

    pub fn is_empty(&self) -> bool {
        self.machines.borrow().is_empty()
    }

    pub fn has_machine_of(&self, node: NodeId) -> bool {
        self.machines.borrow().values().any(|machine| machine.name == machine_name(node))
    }

    /// The effect of a create call.
    pub fn make(&self, order: &CreateInstance<'_>) -> Result<Instance> {
        self.creates.set(self.creates.get() + 1);
        let name = machine_name(order.mark.node);
        if self.machines.borrow().values().any(|machine| machine.name == name) {
            return Err(error(ErrorClass::NameTaken));
        }
        self.next_id.set(self.next_id.get() + 1);
        let instance = Instance {
            id: InstanceId(self.next_id.get().to_string()),
            name,
            labels: order.mark.labels(),
            status: InstanceStatus::Starting,
            ipv4: Some([192, 0, 2, 7].into()),
            ipv6: None,
            created_at: None,
            region: Some(order.region.into()),
            size: Some(order.size.into()),
        };
        self.ever.borrow_mut().insert(instance.name.clone());
        self.machines.borrow_mut().insert(instance.id.clone(), instance.clone());
        Ok(instance)
    }

    /// The machines of a node.
    pub fn marked(&self, node: NodeId) -> Vec<Instance> {
        let name = machine_name(node);
        self.machines.borrow().values().filter(|machine| machine.name == name).cloned().collect()
    }

    async fn call<T>(&self, effect: impl FnOnce() -> Result<T>, empty: Option<T>) -> Result<T> {
        // Others run while a call is on its way.
        tokio::task::yield_now().await;
        self.calls.set(self.calls.get() + 1);
        let fault = self.faults.borrow_mut().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => effect(),
            Fault::LostAfter => {
                let _ = effect();
                Err(error(ErrorClass::Unknown))
            }
            Fault::LostBefore => Err(error(ErrorClass::Unknown)),
            Fault::Refused(class) => Err(error(class)),
            Fault::EmptyList => empty.map_or_else(|| Err(error(ErrorClass::Unknown)), Ok),
        }
    }
}

pub fn error(class: ErrorClass) -> ProviderError {
    ProviderError {
        class,
        code: "test".into(),
        message: "as the test ordered".into(),
        retry_after: (class == ErrorClass::RateLimited).then_some(Duration::from_secs(7)),
    }
}

impl Cloud for &FakeCloud {
    async fn create(&self, order: &CreateInstance<'_>) -> Result<Instance> {
        let effect = || self.make(order);
        self.call(effect, None).await
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>> {
        self.call(|| Ok(self.machines.borrow().get(id).cloned()), None).await
    }

    async fn find(&self, node: NodeId) -> Result<Vec<Instance>> {
        let effect = || Ok(self.marked(node));
        self.call(effect, Some(Vec::new())).await
    }

    async fn delete(&self, mark: &Mark, id: &InstanceId) -> Result<Deletion> {
        let effect = || {
            let mut machines = self.machines.borrow_mut();
            match machines.get(id) {
                None => Ok(Deletion::NotFound),
                Some(machine) if !mark.owns(machine) => Err(not_ours()),
                Some(_) => {
                    machines.remove(id);
                    Ok(Deletion::Accepted)
                }
            }
        };
        self.call(effect, None).await
    }

    async fn list(&self, installation: &str) -> Result<Inventory> {
        let effect = || {
            let ours = |machine: &&Instance| machine.installation() == Some(installation);
            let instances = self.machines.borrow().values().filter(ours).cloned().collect();
            Ok(Inventory { instances, complete: !self.cut_short.get() })
        };
        self.call(effect, Some(Inventory { instances: Vec::new(), complete: !self.cut_short.get() })).await
    }
}
