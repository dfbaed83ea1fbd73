//! Admins: they pause the making of machines and let it go on, change limits while things happen, and give up what is stuck.

use ringfence::app::caller::Caller;
use ringfence::app::{limits, provisioning, suspended_nodes};
use ringfence::error::Result;
use ringfence_protocol::ids::{NodeId, UserId};
use ringfence_protocol::limits::{LimitAmounts, SetLimitsParams};
use ringfence_protocol::params::{ForgetNodeParams, PauseProvisioningParams};
use ringfence_protocol::state::{LimitScope, Role};

use super::Sim;

/// What an admin orders.
#[derive(Debug, Clone)]
pub enum Order {
    Pause,
    Resume,
    Limits(SetLimitsParams),
    Forget(NodeId),
}

impl Sim {
    /// Something that an admin may order in this world.
    pub fn order(&self) -> Option<Order> {
        if !self.has_admin {
            return None;
        }
        match self.chance.below(8) {
            0 | 1 => Some(Order::Pause),
            2..=4 => Some(Order::Resume),
            5 | 6 => Some(Order::Limits(self.limits())),
            _ => self.stuck_node(None).map(Order::Forget),
        }
    }

    /// A node whose deletion does not get on, of that user or of anybody.
    pub fn stuck_node(&self, of: Option<UserId>) -> Option<NodeId> {
        let user = of.map(|user| user.to_string()).unwrap_or_default();
        let sql = "SELECT id FROM nodes WHERE state = 'destroying' AND (overdue > 0 OR key_refused = 1)
             AND ?1 IN ('', user_id) ORDER BY id";
        let nodes = self.world.p.db.known(sql, [user]);
        (!nodes.is_empty()).then(|| self.chance.pick(&nodes).parse().unwrap())
    }

    /// Of a machine or two an hour, or a few of them altogether; of a month so little that it is soon spent.
    fn limits(&self) -> SetLimitsParams {
        let few = |most| u32::try_from(self.chance.between(0, most)).unwrap();
        let maybe = |amount: String| self.chance.one_in(2).then_some(amount);
        let limits = LimitAmounts {
            nodes: self.chance.one_in(3).then(|| few(4)),
            workspaces: self.chance.one_in(3).then(|| few(6)),
            ephemeral_workspaces: self.chance.one_in(4).then(|| few(2)),
            cost_per_hour: maybe(format!("0.0{}", self.chance.between(5, 40))),
            cost_per_month: maybe(format!("0.0{:02}", self.chance.between(2, 60))),
        };
        // Of each, or of one of them.
        let one = |id: String| self.chance.one_in(2).then_some(id);
        match self.chance.below(4) {
            // No limit at all.
            0 => SetLimitsParams { scope: LimitScope::Installation, id: None, limits: LimitAmounts::default() },
            1 => {
                let user = self.chance.pick(&self.users).someone.actor.user_id;
                SetLimitsParams { scope: LimitScope::User, id: one(user.to_string()), limits }
            }
            2 => {
                let tenant = self.chance.pick(&self.tenants);
                SetLimitsParams { scope: LimitScope::Tenant, id: one(tenant.to_string()), limits }
            }
            _ => SetLimitsParams { scope: LimitScope::Installation, id: None, limits },
        }
    }

    pub async fn obey_order(&self, caller: &Caller, order: Order) -> Result<()> {
        let mut admin = caller.clone();
        admin.user.role = Role::Admin;
        match order {
            Order::Pause => {
                let params = PauseProvisioningParams { reason: "a look".into() };
                provisioning::pause(self, self.settings(), &admin, &params).await.map(drop)
            }
            Order::Resume => provisioning::resume(self, self.settings(), &admin).await.map(drop),
            Order::Limits(params) => limits::set(self, &self.config, &admin, params).await.map(drop),
            Order::Forget(id) => {
                let params = ForgetNodeParams { confirm: id.to_string() };
                suspended_nodes::forget(self, self.settings(), &admin, id, &params).await
            }
        }
    }
}
