//! Sweeps: when each last ran, and what one did or would do.

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;
use crate::words::words;

words! {
    /// A sweep.
    SweepKind {
        /// Carries revocations to nodes that were not reached.
        Revocations = "revocations",
        /// Wakes nodes whose deadline has passed and whose alarm did not come.
        Overdue = "overdue",
        /// Compares the machines in every account with our rows.
        Inventory = "inventory",
        /// Tells what of a month's budget is spent, and ends machines when all of it is.
        Budgets = "budgets",
        /// Makes dedicated nodes anew that have failed.
        Restarts = "restarts",
        /// Makes machines that users want kept warm.
        Warm = "warm",
        /// Deletes what has had its time.
        Prune = "prune",
    }
    /// What a sweep does with one thing.
    SweepActionKind {
        /// The node's object is told to look.
        WakeNode = "wake_node",
        /// The machine is deleted at the provider.
        DeleteMachine = "delete_machine",
        /// The machine is left alone, for the reason given.
        LeaveMachine = "leave_machine",
        /// The machines of an account are listed.
        ListMachines = "list_machines",
        /// A node is made anew.
        MakeNode = "make_node",
        /// The node is told to end.
        EndNode = "end_node",
        /// Rows are deleted.
        Prune = "prune",
    }
}

/// Query of `POST /api/admin/sweep`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SweepParams {
    /// Only tell what would be done; nothing is changed, here or at a provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// `POST /api/admin/sweep`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SweepView {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Each sweep.
    pub sweeps: Vec<SweepOutcomeView>,
}

/// What one sweep did, or would do. A run does a bounded amount: run it again for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SweepOutcomeView {
    /// Which.
    pub sweep: SweepKind,
    /// Why it did not run to its end; absent when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it found.
    pub actions: Vec<SweepActionView>,
}

/// One thing that a sweep found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SweepActionView {
    /// What is to be done.
    pub action: SweepActionKind,
    /// With what: the id of a node, machine or credential, or a kind of rows.
    pub subject: String,
    /// Why, in a sentence.
    pub detail: String,
    /// Whether it was done.
    pub done: bool,
}

/// What `/readyz` tells of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SweepStatusView {
    /// Which.
    pub sweep: SweepKind,
    /// When it last ran to its end, to within some minutes; absent when it never has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_at: Option<UnixMillis>,
    /// For the inventory: when the account was looked at whose turn was longest ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<UnixMillis>,
}
