//! The verbs on firewalls.

use super::Cloud;
use crate::clock::now_ms;
use crate::error::{ApiError, ErrorCode};
use crate::firewalls::{Firewall, FirewallId, NewFirewall};
use crate::state::{ProjectId, ServerId};

/// Firewalls that a project may have, as at Hetzner.
const FIREWALLS_MAX: usize = 50;

/// A firewall with the servers that it was put before.
pub(crate) struct FirewallReport {
    pub(crate) firewall: Firewall,
    pub(crate) servers: Vec<ServerId>,
}

impl Cloud {
    pub(crate) fn firewalls(&self, project: &ProjectId) -> Vec<FirewallReport> {
        let ledger = self.ledger();
        let owned = ledger.state.firewalls.values().filter(|firewall| firewall.project == *project);
        owned.map(|firewall| ledger.report(firewall)).collect()
    }

    pub(crate) fn firewall(&self, project: &ProjectId, id: FirewallId) -> Result<FirewallReport, ApiError> {
        let ledger = self.ledger();
        ledger.owned_firewall(project, id).map(|firewall| ledger.report(firewall))
    }

    pub(crate) fn create_firewall(&self, project: &ProjectId, order: NewFirewall) -> Result<FirewallReport, ApiError> {
        let mut ledger = self.ledger();
        let owned = || ledger.state.firewalls.values().filter(|firewall| firewall.project == *project);
        if owned().any(|firewall| firewall.name == order.name) {
            return Err(ApiError::name_taken());
        }
        if owned().count() >= FIREWALLS_MAX {
            return Err(ApiError::new(ErrorCode::ResourceLimitExceeded, "firewall limit exceeded"));
        }
        let firewall = Firewall {
            id: ledger.state.take_firewall_id(),
            project: project.clone(),
            name: order.name,
            labels: order.labels,
            rules: order.rules,
            created_at_ms: now_ms(),
        };
        ledger.state.firewalls.insert(firewall.id, firewall.clone());
        self.save(&ledger)?;
        Ok(FirewallReport { firewall, servers: Vec::new() })
    }

    pub(crate) fn delete_firewall(&self, project: &ProjectId, id: FirewallId) -> Result<(), ApiError> {
        let mut ledger = self.ledger();
        let firewall = ledger.owned_firewall(project, id)?;
        if !ledger.report(firewall).servers.is_empty() {
            return Err(ApiError::firewall_in_use());
        }
        ledger.state.firewalls.remove(&id);
        self.save(&ledger)
    }
}

impl super::Ledger {
    pub(super) fn owned_firewall(&self, project: &ProjectId, id: FirewallId) -> Result<&Firewall, ApiError> {
        let owned = self.state.firewalls.get(&id).filter(|firewall| firewall.project == *project);
        owned.ok_or_else(|| ApiError::not_found("firewall"))
    }

    fn report(&self, firewall: &Firewall) -> FirewallReport {
        let servers = self.state.servers.values().filter(|server| server.firewalls.contains(&firewall.id));
        FirewallReport { firewall: firewall.clone(), servers: servers.map(|server| server.id).collect() }
    }
}
