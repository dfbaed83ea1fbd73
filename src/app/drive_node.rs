//! Drives a node: what its object's alarm does. The only place that calls a provider.
//!
//! Each turn reads the node, feeds it the answers of the calls before, lets time pass, stores what follows (intent before
//! effect), and only then makes the calls that follow. The last turn is one in which nothing follows: it has just read the
//! rows, and the next wake-up is computed from them. A crash anywhere loses an answer at most, and the machine looks again.

use std::time::Duration;

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::views::EventView;

use super::outcome::{Bootstrap, Cloud, Driven, Outgoing, Provisioner};
use super::turn::{Commit, Turn};
use super::{provisioning, read};
use crate::config::Settings;
use crate::domain::node::{Call, CallError, Destroy, Event, State};
use crate::domain::ticket::DestroyTicket;
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::provider::{self, CreateInstance, Mark, ProviderError};
use crate::store::nodes::NodeRow;
use crate::store::switches;

/// Turns of one drive, at most: with about eight statements each, well within the 50 an invocation may make.
const MAX_TURNS: usize = 5;

/// How far back an event is shown that a request has recorded: longer than from its alarm's arming to the alarm.
const RECENT: Duration = Duration::from_secs(30);
/// Events shown after one drive, at most.
const MAX_RECENT_EVENTS: u32 = 40;

/// A drive that failed.
#[derive(Debug)]
pub struct Undriven {
    /// Why. How far it came is not known.
    pub error: Error,
    /// What to tell the agent all the same.
    pub to_agent: Vec<Outgoing>,
}

/// Drives a node as far as it goes now. Call it from the node's alarm alone: the platform runs one at a time.
pub async fn drive_node<P: Provisioner>(
    p: &impl Platform,
    settings: &Settings,
    provisioner: &P,
    id: NodeId,
) -> std::result::Result<Driven, Undriven> {
    // Orders to remove what is given up: no later turn sees these workspaces any more.
    let mut given_up = Vec::new();
    match drive(p, settings, provisioner, id, &mut given_up).await {
        Ok(mut driven) => {
            driven.to_agent.extend(given_up);
            Ok(driven)
        }
        // Written or not, they are to be removed.
        Err(error) => Err(Undriven { error, to_agent: given_up }),
    }
}

async fn drive<P: Provisioner>(
    p: &impl Platform,
    settings: &Settings,
    provisioner: &P,
    id: NodeId,
    given_up: &mut Vec<Outgoing>,
) -> Result<Driven> {
    let mut driven = Driven::default();
    let mut cloud: Option<P::Cloud> = None;
    let mut answers: Vec<Event> = Vec::new();
    for _ in 0..MAX_TURNS {
        let Some(mut turn) = Turn::load(p, &settings.timing, id).await? else {
            return Ok(Driven { gone: true, unwritten: true, ..driven });
        };
        for answer in &answers {
            // Denied answers are of a state that has passed.
            let _ = turn.node_event(answer.clone());
        }
        turn.tick();
        if turn.calls.contains(&Call::Create) && provisioning::is_paused(p, settings).await? {
            // As if it had not got so far: what was read, and the answers, say what there is.
            let Some(again) = Turn::load(p, &settings.timing, id).await? else { continue };
            turn = again;
            for answer in &answers {
                let _ = turn.node_event(answer.clone());
            }
            let _ = turn.node_event(Event::ProvisioningPaused);
            turn.tick();
        }
        turn.tell_all_that_is_owed();
        let before = given_up.len();
        given_up.extend(turn.given_up());
        let finished = turn.calls.is_empty() && !turn.has_changed();
        let bootstrap = match turn.calls.contains(&Call::Create) {
            true => Some(provisioner.bootstrap(&turn.row, turn.now()).await?),
            false => None,
        };
        let (user_data, statements) = match bootstrap {
            Some(Bootstrap { user_data, mut statements }) => {
                // Paused meanwhile: the batch fails, and the next turn sees why.
                statements.push(switches::require_provisioning());
                (user_data, statements)
            }
            None => (String::new(), Vec::new()),
        };
        let Commit::Stored(told) = turn.commit(p, statements).await? else {
            given_up.truncate(before);
            continue;
        };
        merge(&mut driven, *told);
        driven.close_all |= must_be_closed(turn.node.state);
        driven.gone = matches!(turn.node.state, State::Gone { .. });
        driven.ticket = ticket(&turn.row, &turn);
        if finished {
            driven.events = recent_events(p, &turn).await?;
            return Ok(driven);
        }
        if must_be_closed(turn.node.state) {
            provisioner.end_viewers();
        }
        if let Some(ticket) = driven.ticket.as_ref().filter(|_| !turn.calls.is_empty()) {
            provisioner.keep_ticket(ticket).await;
        }
        answers.clear();
        // What was read may be an order before: the turn may have gone on to the next.
        if let Some(offer) = turn.node.offers.current() {
            turn.row.region.clone_from(&offer.region);
            turn.row.size.clone_from(&offer.size);
        }
        for call in std::mem::take(&mut turn.calls) {
            answers.extend(perform(provisioner, &mut cloud, &turn.row, call, &user_data).await);
        }
    }
    // There is more to do than one invocation may: go on at once in the next.
    driven.next_wake = Some(p.now());
    Ok(driven)
}

async fn perform<P: Provisioner>(
    provisioner: &P,
    cloud: &mut Option<P::Cloud>,
    row: &NodeRow,
    call: Call,
    user_data: &str,
) -> Vec<Event> {
    let opened = match cloud.take() {
        Some(opened) => Ok(opened),
        None => provisioner.cloud(row).await,
    };
    let events = match &opened {
        Ok(opened) => make(opened, row, call, user_data).await,
        Err(error) => vec![failed(call, error)],
    };
    *cloud = opened.ok();
    events
}

async fn make(cloud: &impl Cloud, row: &NodeRow, call: Call, user_data: &str) -> Vec<Event> {
    let mark = Mark { installation: row.installation.clone(), node: row.id };
    match call {
        Call::Create => {
            let order = CreateInstance {
                mark: &mark,
                region: &row.region,
                size: &row.size,
                image: Some(&row.image),
                user_data,
            };
            let answer = cloud.create(&order).await;
            let place = answer.as_ref().ok().and_then(made);
            let answer = answer.map(|instance| instance.known()).map_err(|error| CallError::from(&error));
            [Event::CreateAnswered(answer)].into_iter().chain(place).collect()
        }
        Call::Find => {
            let answer = cloud.find(row.id).await;
            let places: Vec<Event> = answer.iter().flatten().filter_map(made).collect();
            let known = |found: Vec<provider::Instance>| found.iter().map(provider::Instance::known).collect();
            let answer = answer.map(known).map_err(|error| CallError::from(&error));
            [Event::FindAnswered(answer)].into_iter().chain(places).collect()
        }
        Call::Get(id) => {
            let answer = cloud.get(&id).await;
            let known = |found: Option<provider::Instance>| found.map(|instance| instance.known());
            vec![Event::GetAnswered(answer.map(known).map_err(|error| CallError::from(&error)))]
        }
        Call::Delete(id) => {
            let answer = cloud.delete(&mark, &id).await.map_err(|error| CallError::from(&error));
            vec![Event::DeleteAnswered(id, answer)]
        }
    }
}

/// Where a machine stands and which it is, where the provider says so.
fn made(instance: &provider::Instance) -> Option<Event> {
    let (region, size) = (instance.region.clone()?, instance.size.clone()?);
    Some(Event::Made { id: instance.id.clone(), region, size })
}

/// The client could not even be made: the call counts as failed for that reason.
fn failed(call: Call, error: &ProviderError) -> Event {
    let error = CallError::from(error);
    match call {
        Call::Create => Event::CreateAnswered(Err(error)),
        Call::Find => Event::FindAnswered(Err(error)),
        Call::Get(_) => Event::GetAnswered(Err(error)),
        Call::Delete(id) => Event::DeleteAnswered(id, Err(error)),
    }
}

/// What happened since the request that woke this node, or in this drive: requests record events, but hold no sockets to show
/// them on. Who has seen one already knows it by its id.
async fn recent_events(p: &impl Platform, turn: &Turn<'_>) -> Result<Vec<EventView>> {
    let mut recent = read::node_events(p, turn.row.user_id, turn.row.id, MAX_RECENT_EVENTS).await?;
    recent.retain(|event| event.at + RECENT >= turn.now());
    Ok(recent)
}

/// Later turns know better what the agent is owed and when to wake; events and closures add up.
fn merge(driven: &mut Driven, told: Driven) {
    driven.next_wake = told.next_wake;
    driven.to_agent = told.to_agent;
    driven.close_all |= told.close_all;
    driven.close_viewers.extend(told.close_viewers);
}

/// A request may have ended the node: its sockets are closed here, in the object that holds them.
const fn must_be_closed(state: State) -> bool {
    match state {
        State::Requested | State::Provisioning { .. } | State::Booting | State::Ready { .. } => false,
        // Its workspaces save, and whoever looks may see it.
        State::Destroying { next: Destroy::Save, .. } => false,
        State::Failed { .. } | State::Quarantined { .. } | State::Destroying { .. } | State::Gone { .. } => true,
    }
}

fn ticket(row: &NodeRow, turn: &Turn<'_>) -> Option<DestroyTicket> {
    if matches!(turn.node.state, State::Gone { .. }) {
        return None;
    }
    let sealed = row.sealed()?;
    // While its workspaces save nobody deletes it; they have a bounded time for that, whoever is there to see its end.
    let saving = matches!(turn.node.state, State::Destroying { next: Destroy::Save, .. });
    Some(DestroyTicket {
        node_id: row.id,
        installation: Some(row.installation.clone()),
        user_id: row.user_id,
        provider: row.provider,
        credential_id: row.credential_id,
        seal_version: sealed.version,
        sealed_secret: sealed.text,
        machine_name: provider::machine_name(row.id),
        instance_id: turn.node.instance.as_ref().map(|instance| instance.id.0.clone()),
        destroy_now: matches!(turn.node.state, State::Destroying { .. }) && !saving,
        hard_deadline: turn.node.ends_at(),
    })
}

/// How often another writer may be quicker before a request gives up.
pub(super) fn too_many_conflicts() -> Error {
    Error::unavailable("too many conflicting writes to one node")
}
