//! Budgets: how much of a month's money is spent, by whom, and whether that is worth telling or the end.

use std::collections::BTreeMap;

use ringfence_protocol::state::{LimitMeasure, LimitScope};

use super::quota::Configured;

/// Shares of a budget at which its users are told, in percent. At the last one their machines end.
pub const THRESHOLDS: [u8; 3] = [50, 80, 100];

/// What one user has spent this month, in millionths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Who.
    pub user: String,
    /// As a user of which tenant.
    pub tenant: String,
    /// How much.
    pub micros: i64,
    /// How many of their nodes still cost.
    pub live: i64,
}

/// What an admin has set for a month, in millionths. The subject is empty for all users or tenants, and for the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// For whom.
    pub scope: LimitScope,
    /// The user or tenant.
    pub subject: String,
    /// How much.
    pub micros: i64,
}

/// A threshold that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Whose budget.
    pub scope: LimitScope,
    /// The user or tenant; empty for the installation.
    pub subject: String,
    /// The highest threshold that is reached.
    pub percent: u8,
    /// What is spent.
    pub spent: i64,
    /// Of how much.
    pub budget: i64,
    /// How many nodes still cost.
    pub live: i64,
}

/// The highest threshold each budget has reached.
pub fn alerts(spent: &[Spent], set: &[Budget], configured: &Configured) -> Vec<Alert> {
    let mut totals: BTreeMap<(LimitScope, &str), (i64, i64)> = BTreeMap::new();
    for one in spent {
        for (scope, subject) in [
            (LimitScope::User, one.user.as_str()),
            (LimitScope::Tenant, one.tenant.as_str()),
            (LimitScope::Installation, ""),
        ] {
            let (total, live) = totals.entry((scope, subject)).or_default();
            *total = total.saturating_add(one.micros);
            *live = live.saturating_add(one.live);
        }
    }
    let found = |scope, subject: &str| set.iter().find(|one| one.scope == scope && one.subject == subject);
    totals
        .into_iter()
        .filter_map(|((scope, subject), (spent, live))| {
            let own = found(scope, subject).or_else(|| found(scope, "")).map(|one| one.micros);
            let budget = own.or_else(|| configured.get(scope, LimitMeasure::CostPerMonth))?;
            let reached = |percent: &&u8| i128::from(spent) * 100 >= i128::from(budget) * i128::from(**percent);
            let percent = *THRESHOLDS.iter().rev().find(reached)?;
            Some(Alert { scope, subject: subject.to_owned(), percent, spent, budget, live })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(user: &str, tenant: &str, micros: i64) -> Spent {
        Spent { user: user.into(), tenant: tenant.into(), micros, live: 1 }
    }

    fn reached(set: &[Budget], configured: &Configured) -> Vec<(LimitScope, String, u8)> {
        let all = [spent("ada", "acme", 60), spent("bob", "acme", 30), spent("eve", "other", 5)];
        alerts(&all, set, configured).into_iter().map(|one| (one.scope, one.subject, one.percent)).collect()
    }

    fn budget(scope: LimitScope, subject: &str, micros: i64) -> Budget {
        Budget { scope, subject: subject.into(), micros }
    }

    #[test]
    fn each_budget_tells_the_highest_threshold_it_has_reached() {
        let none = Configured::default();
        assert_eq!(reached(&[], &none), []);
        let everybody = [budget(LimitScope::User, "", 60)];
        assert_eq!(
            reached(&everybody, &none),
            [(LimitScope::User, "ada".into(), 100), (LimitScope::User, "bob".into(), 50)]
        );
        let one = [budget(LimitScope::User, "", 60), budget(LimitScope::User, "ada", 1000)];
        assert_eq!(reached(&one, &none), [(LimitScope::User, "bob".into(), 50)], "one's own comes first");
        let sums = [budget(LimitScope::Tenant, "acme", 112), budget(LimitScope::Installation, "", 96)];
        assert_eq!(
            reached(&sums, &none),
            [(LimitScope::Tenant, "acme".into(), 80), (LimitScope::Installation, String::new(), 80)]
        );
        let mut configured = Configured::default();
        configured.put(LimitScope::Installation, LimitMeasure::CostPerMonth, 95);
        assert_eq!(reached(&[], &configured), [(LimitScope::Installation, String::new(), 100)]);
    }

    #[test]
    fn one_millionth_less_is_not_reached() {
        let set = [budget(LimitScope::Installation, "", 190)];
        assert_eq!(reached(&set, &Configured::default()), [(LimitScope::Installation, String::new(), 50)]);
        let set = [budget(LimitScope::Installation, "", 191)];
        assert_eq!(reached(&set, &Configured::default()), []);
    }
}
