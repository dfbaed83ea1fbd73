//! A provider's inventory against our rows: machines that carry our mark and whose node is gone, or was never known, are
//! deleted. Just before each deletion the row is read again, and the provider is asked again what the machine carries. Nodes whose
//! machine was deleted at the provider end.

use std::collections::BTreeMap;
use std::time::Duration;

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::plan;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::NodeState;
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{EventKind, NodeView};

use super::{Actions, Mode, json_list};
use crate::app::change_node::change_anybodys_node;
use crate::app::outcome::{Accounts, Cloud};
use crate::config::Config;
use crate::domain::node::{self, InstanceId};
use crate::domain::sweep::{Judgement, Known, Marks, judge};
use crate::error::Result;
use crate::ports::Platform;
use crate::provider::{self, Instance, Mark, ProviderError};
use crate::store::audit::{self, Act};
use crate::store::credentials::CredentialRow;
use crate::store::sweeps::{self, StateRow, StrayRow, UnlistedRow};
use crate::store::{all, events, many};

/// Machines deleted in one run, at most: each is four calls.
const MAX_DELETIONS: usize = 3;
/// Nodes without a machine that are told to end in one run and account, at most.
const MAX_MISSING: u32 = 2;
/// A list this long took more than one call: no other account is asked in this run.
const ONE_PAGE: usize = 50;
/// How often the cron looks at an account.
const INTERVAL: Duration = Duration::from_secs(60 * plan::ACCOUNT_TURN_MINUTES);

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Accounts that were not looked at for some minutes.
    Due,
    /// Those that were looked at longest ago, whenever that was.
    Any,
}

pub(super) async fn sweep(
    p: &impl Platform,
    config: &Config,
    accounts: &impl Accounts,
    mode: Mode,
    turn: Turn,
) -> Result<Actions> {
    let cut = match turn {
        Turn::Due => p.now() - INTERVAL,
        Turn::Any => p.now(),
    };
    let credentials: Vec<CredentialRow> = many(p, sweeps::next_accounts(cut, plan::ACCOUNTS_A_RUN)).await?;
    let (mut actions, mut deletions) = (Vec::new(), MAX_DELETIONS);
    for credential in &credentials {
        if mode == Mode::Act {
            p.batch(vec![sweeps::mark_account_tried(credential.id, p.now())]).await?;
        }
        let sweep = AccountSweep { p, config, credential, mode };
        let listed = match accounts.account(credential) {
            Ok(cloud) => sweep.run(&cloud, &mut actions, &mut deletions).await?,
            Err(error) => {
                actions.push(sweep.not_listed(&error));
                0
            }
        };
        if listed >= ONE_PAGE {
            break;
        }
    }
    Ok(actions)
}

/// One account's turn.
struct AccountSweep<'a, P> {
    p: &'a P,
    config: &'a Config,
    credential: &'a CredentialRow,
    mode: Mode,
}

impl<P: Platform> AccountSweep<'_, P> {
    /// Looks at every machine of the account; gives how many were listed.
    async fn run(&self, cloud: &impl Cloud, actions: &mut Actions, deletions: &mut usize) -> Result<usize> {
        let inventory = match cloud.list(&self.config.installation_id).await {
            Ok(inventory) => inventory,
            Err(error) => {
                actions.push(self.not_listed(&error));
                return Ok(0);
            }
        };
        let now = self.p.now();
        let (states, seen) = self.known(&inventory.instances).await?;
        let known = |node: Option<NodeId>, instance: &Instance| match node.and_then(|node| states.get(&node)) {
            Some(NodeState::Gone) => Known::Final,
            Some(
                NodeState::Requested
                | NodeState::Provisioning
                | NodeState::Booting
                | NodeState::Ready
                | NodeState::Destroying
                | NodeState::Failed
                | NodeState::Quarantined,
            ) => Known::Open,
            None => Known::Absent { since: seen.get(&instance.id.0).copied() },
        };
        let (mut watched, mut all_done) = (Vec::new(), inventory.complete);
        for instance in &inventory.instances {
            let marks = Marks { installation: instance.installation().map(str::to_owned), node: instance.node() };
            let known = known(marks.node, instance);
            if matches!(known, Known::Absent { .. }) {
                watched.push(instance.id.0.clone());
            }
            let patience = self.config.settings.timing.stray;
            let judgement = judge(&marks, &self.config.installation_id, known, now, patience);
            match (judgement.deletes(), marks.node) {
                (true, Some(node)) if *deletions > 0 => {
                    *deletions -= 1;
                    actions.push(self.delete(cloud, instance, node, judgement).await?);
                }
                (true, _) => all_done = false,
                (false, _) if judgement == Judgement::Kept => {}
                (false, _) => actions.push(left(instance, judgement.sentence())),
            }
        }
        // Of a list that was cut short nothing follows for what is not in it.
        if inventory.complete {
            for row in self.unlisted(&inventory.instances).await? {
                actions.extend(self.look_for(cloud, &row).await?);
            }
        }
        if self.mode == Mode::Act {
            let mut notes = sweeps::keep_strays(self.credential.id, &json_list(&watched), now).to_vec();
            if all_done {
                notes.push(sweeps::mark_account_swept(self.credential.id, now));
            }
            self.p.batch(notes).await?;
        }
        Ok(inventory.instances.len())
    }

    /// The states of the nodes that machines name, and since when those without a row are known.
    async fn known(
        &self,
        instances: &[Instance],
    ) -> Result<(BTreeMap<NodeId, NodeState>, BTreeMap<String, UnixMillis>)> {
        let ids: Vec<String> = instances.iter().filter_map(Instance::node).map(|node| node.to_string()).collect();
        let statements = vec![sweeps::node_states(&json_list(&ids)), sweeps::strays(self.credential.id)];
        let mut outcomes = self.p.batch(statements).await?.into_iter();
        let states = all::<StateRow>(outcomes.next()).into_iter().map(|row| (row.id, row.state)).collect();
        let seen = all::<StrayRow>(outcomes.next())
            .into_iter()
            .map(|row| (row.instance_id, UnixMillis::new(row.first_seen_at_ms)))
            .collect();
        Ok((states, seen))
    }

    async fn unlisted(&self, instances: &[Instance]) -> Result<Vec<UnlistedRow>> {
        let ids: Vec<String> = instances.iter().map(|instance| instance.id.0.clone()).collect();
        many(self.p, sweeps::unlisted(self.credential.id, &json_list(&ids), self.p.now().as_secs() / 60, MAX_MISSING))
            .await
    }

    /// A machine is not in the list: where its provider, asked for it, does not know it either, its node ends. One whose agent seems
    /// to be there looks first whether it is: a machine that is cut off ends no connection.
    async fn look_for(&self, cloud: &impl Cloud, row: &UnlistedRow) -> Result<Option<SweepActionView>> {
        let action = |action, why: &str, done| {
            let detail = format!("The provider does not list its machine {}. {why}", row.instance_id);
            Ok(Some(SweepActionView { action, subject: row.id.to_string(), detail, done }))
        };
        let acts = self.mode == Mode::Act;
        if row.connected_at_ms.is_some() {
            let done = acts && self.p.wake(row.id, self.p.now()).await.is_ok();
            return action(SweepActionKind::WakeNode, "It looks whether its agent is there.", done);
        }
        match cloud.get(&InstanceId(row.instance_id.clone())).await {
            // It was made, or shown again, meanwhile.
            Ok(Some(_)) => Ok(None),
            Err(error) => action(SweepActionKind::EndNode, &format!("Asked for it: {}", word(&error)), false),
            Ok(None) if !acts => action(SweepActionKind::EndNode, "The node ends.", false),
            Ok(None) => match self.end(row.id).await {
                Ok(_) => action(SweepActionKind::EndNode, "The node ends.", true),
                // Its agent is there by now, or the machine is so new that it may not be shown yet.
                Err(error) if error.code == ErrorCode::Conflict => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    async fn end(&self, node: NodeId) -> Result<NodeView> {
        change_anybodys_node(self.p, &self.config.settings, node, node::Event::MachineMissing, Vec::new()).await
    }

    async fn delete(
        &self,
        cloud: &impl Cloud,
        instance: &Instance,
        node: NodeId,
        judgement: Judgement,
    ) -> Result<SweepActionView> {
        let action = |detail: String, done| SweepActionView {
            action: SweepActionKind::DeleteMachine,
            subject: instance.id.0.clone(),
            detail,
            done,
        };
        let about = format!("{} ({node}). {}", instance.name, judgement.sentence());
        if self.mode == Mode::DryRun {
            return Ok(action(about, false));
        }
        // Read again: between the list and now a database may have been restored.
        let rows: Vec<StateRow> = many(self.p, sweeps::node_states(&json_list(&[node.to_string()]))).await?;
        let still = match judgement {
            Judgement::Leftover => matches!(rows.as_slice(), [row] if row.state == NodeState::Gone),
            Judgement::Stray => rows.is_empty(),
            Judgement::Foreign | Judgement::Unnamed | Judgement::Kept | Judgement::Watched => false,
        };
        if !still {
            return Ok(left(instance, "Its node is known again."));
        }
        let mark = Mark { installation: self.config.installation_id.clone(), node };
        match cloud.delete(&mark, &instance.id).await {
            Ok(_) => {
                self.tell(instance, node, judgement).await?;
                Ok(action(about, true))
            }
            Err(error) => Ok(action(format!("{about} It could not be deleted: {}", error.message), false)),
        }
    }

    /// For the audit log, and for the machine's owner where its node is still known.
    async fn tell(&self, instance: &Instance, node: NodeId, judgement: Judgement) -> Result<()> {
        let now = self.p.now();
        let act = Act {
            actor: "sweep".into(),
            action: "machine.delete",
            subject: node.to_string(),
            source_address: String::new(),
            detail: format!("{} {}", instance.id.0, judgement.sentence()),
        };
        let detail = format!("A machine that was left over ({}) was found and deleted.", instance.id.0);
        let notice = events::record(node, None, &EventKind::Notice { detail }, now);
        self.p.batch(vec![audit::record(&act, now), notice]).await?;
        Ok(())
    }

    /// The account could not be listed: nothing is known of its machines, and nothing is done.
    fn not_listed(&self, error: &ProviderError) -> SweepActionView {
        SweepActionView {
            action: SweepActionKind::ListMachines,
            subject: self.credential.id.to_string(),
            detail: format!("Its machines could not be listed: {}", word(error)),
            done: false,
        }
    }
}

fn left(instance: &Instance, why: &str) -> SweepActionView {
    SweepActionView {
        action: SweepActionKind::LeaveMachine,
        subject: instance.id.0.clone(),
        detail: format!("{} {why}", instance.name),
        done: true,
    }
}

/// What a provider's refusal means, in a word: its message is for the account's owner alone.
const fn word(error: &ProviderError) -> &'static str {
    match error.class {
        provider::ErrorClass::Auth => "the key is refused.",
        provider::ErrorClass::RateLimited => "the provider asks us to slow down.",
        provider::ErrorClass::Invalid
        | provider::ErrorClass::NameTaken
        | provider::ErrorClass::Capacity
        | provider::ErrorClass::Quota => "the provider refuses the question.",
        provider::ErrorClass::Transient | provider::ErrorClass::Unknown => "the provider does not answer.",
    }
}
