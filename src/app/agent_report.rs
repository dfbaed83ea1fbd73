//! What a node's agent says over its link, recorded.

use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::link::{
    Activity, AgentMessage, BootStep, ControlMessage, Facts, Hello, Progress, WorkspacePhase, WorkspaceReport,
};
use ringfence_protocol::posture::Posture;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use super::drive_node::too_many_conflicts;
use super::intent::{armed, armed_for};
use super::outcome::Driven;
use super::turn::{Commit, MAX_CONFLICTS, Turn, event_views};
use crate::config::Settings;
use crate::domain::lifecycle::{Denied, FailureCode};
use crate::domain::node;
use crate::domain::posture::{self, Verdict};
use crate::domain::workspace::{Event, Report};
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::{events, nodes, workspaces};

/// Longest text of an agent that is kept, in characters.
const MAX_TEXT_CHARS: usize = 500;
/// As much of what a save hook has printed: as much as agents tell.
const MAX_SAVED_CHARS: usize = 2048;

/// Records one message of an agent whose link was opened with that epoch. Calls no provider.
pub async fn agent_report(
    p: &impl Platform,
    settings: &Settings,
    id: NodeId,
    agent_epoch: i64,
    message: AgentMessage,
) -> Result<Driven> {
    match message {
        AgentMessage::Hello(hello) => {
            let seen = nodes::observe_hello(id, agent_epoch, &hello, p.now());
            decide(p, settings, id, agent_epoch, vec![seen], |turn| record_hello(turn, &hello)).await
        }
        AgentMessage::Ready => {
            decide(p, settings, id, agent_epoch, Vec::new(), |turn| turn.node_event(node::Event::AgentReady)).await
        }
        AgentMessage::Workspace(report) => {
            decide(p, settings, id, agent_epoch, Vec::new(), |turn| record_report(turn, &report)).await
        }
        AgentMessage::BootStep(step) => record_boot_step(p, id, agent_epoch, step).await,
        AgentMessage::Facts(facts) => record_facts(p, id, agent_epoch, &facts).await,
        AgentMessage::BootFailed(report) => {
            let (code, detail) = (FailureCode::from(report.failure), cut(&report.detail));
            decide(p, settings, id, agent_epoch, Vec::new(), |turn| turn.boot_failed(code, &detail)).await
        }
        AgentMessage::Quarantine { detail } => {
            let lost = node::Event::TrustLost { detail: cut(&detail) };
            let quarantine = decide(p, settings, id, agent_epoch, Vec::new(), |turn| turn.node_event(lost.clone()));
            // Its link and viewers are closed at once, also by an object that dies before it has done so.
            armed(p, id, quarantine).await
        }
        AgentMessage::WorkspaceStep { workspace_id, step } => {
            let (event, at) = boot_step(&step, p.now());
            let told = events::record_told(id, agent_epoch, Some(workspace_id), &event, at);
            decide(p, settings, id, agent_epoch, vec![told], |turn| progressed(turn, workspace_id)).await
        }
        AgentMessage::Activity { workspace_id, activity } => {
            decide(p, settings, id, agent_epoch, Vec::new(), |turn| used(turn, workspace_id, activity)).await
        }
        AgentMessage::Saved { workspace_id, outcome, duration_ms, detail } => {
            let event = EventKind::Saved { outcome, duration_ms, detail: end_of(&detail) };
            record_told(p, events::record_told(id, agent_epoch, Some(workspace_id), &event, p.now())).await
        }
        AgentMessage::SavedAll => {
            decide(p, settings, id, agent_epoch, Vec::new(), |turn| turn.node_event(node::Event::WorkspacesSaved)).await
        }
        // What it says is shown by the node's object and kept nowhere; that it came gives the workspace more time.
        AgentMessage::Progress(progress) => {
            decide(p, settings, id, agent_epoch, Vec::new(), |turn| progressed(turn, progress.workspace_id)).await
        }
        AgentMessage::Notice { workspace_id, detail } => {
            let event = EventKind::Notice { detail: cut(&detail) };
            record_told(p, events::record_told(id, agent_epoch, workspace_id, &event, p.now())).await
        }
        AgentMessage::NodePosture(posture) => record_node_posture(p, settings, id, agent_epoch, posture).await,
        AgentMessage::WorkspacePosture { workspace_id, posture } => {
            let (verdict, json) = measured(posture, p.now())?;
            p.batch(vec![workspaces::observe_posture(workspace_id, id, agent_epoch, verdict, json, p.now())]).await?;
            Ok(Driven::default())
        }
        AgentMessage::ChannelClosed { .. } => Ok(Driven::default()),
    }
}

/// The link of a node has just ended. Other ends than before are ahead now, and other warnings, some of them sooner: the alarm is armed
/// before the row is written, and looks at once.
pub async fn link_lost(p: &impl Platform, id: NodeId) -> Result<()> {
    // Another link may be opened while this is written.
    let seen_at = p.now();
    armed(p, id, link_closed(p, id, seen_at)).await
}

/// There was no link at `seen_at`. One that was opened since stays.
pub async fn link_closed(p: &impl Platform, id: NodeId, seen_at: UnixMillis) -> Result<()> {
    p.batch(vec![nodes::observe_disconnect(id, seen_at)]).await?;
    Ok(())
}

/// A second key came with a valid bootstrap token: the node is not trusted any more. Its object closes the link and every
/// viewer in its alarm, which is armed first: nobody comes back to say it again.
pub async fn key_conflict(p: &impl Platform, settings: &Settings, id: NodeId) -> Result<Driven> {
    armed(p, id, async {
        for _ in 0..MAX_CONFLICTS {
            let Some(mut turn) = Turn::load(p, &settings.timing, id).await? else {
                return Ok(Driven { gone: true, ..Driven::default() });
            };
            // Too early is no case: a token exists only once the create call was recorded.
            let _ = turn.node_event(node::Event::KeyConflict);
            turn.settle_workspaces();
            if let Commit::Stored(driven) = turn.commit(p, Vec::new()).await? {
                return Ok(*driven);
            }
        }
        Err(too_many_conflicts())
    })
    .await
}

async fn decide(
    p: &impl Platform,
    settings: &Settings,
    id: NodeId,
    agent_epoch: i64,
    seen: Vec<Statement>,
    record: impl Fn(&mut Turn<'_>) -> std::result::Result<(), Denied>,
) -> Result<Driven> {
    let refused = || Ok(Driven { refused: true, ..Driven::default() });
    for _ in 0..MAX_CONFLICTS {
        let Some(mut turn) = Turn::load(p, &settings.timing, id).await? else { return refused() };
        if turn.node.agent_epoch != agent_epoch {
            return refused();
        }
        let deadline = turn.poll_timeout();
        match record(&mut turn) {
            Ok(()) | Err(Denied::Stale | Denied::TooEarly) => {}
            Err(Denied::Ending) => return refused(),
        }
        turn.settle_workspaces();
        // What is over by now may be so whatever the message was about.
        let unheard = turn.given_up();
        // Where that moves a deadline to sooner, the alarm is set for it first: nobody comes back to say it again.
        let sooner = turn.poll_timeout().filter(|next| deadline.is_none_or(|deadline| *next < deadline));
        if let Commit::Stored(mut driven) = armed_for(p, id, sooner, turn.commit(p, seen.clone())).await? {
            driven.to_agent.extend(unheard);
            return Ok(*driven);
        }
    }
    Err(too_many_conflicts())
}

/// The whole inventory: what should not be there is removed, what is missing is asked for again.
fn record_hello(turn: &mut Turn<'_>, hello: &Hello) -> std::result::Result<(), Denied> {
    // The batch of this turn stores it.
    turn.node.link = node::Link::Up;
    let known: Vec<WorkspaceId> = turn.tenancies.iter().map(|tenancy| tenancy.row.id).collect();
    for id in &known {
        let report = hello.workspaces.iter().find(|report| report.workspace_id == *id).map(seen);
        // One workspace's refusal must not hide the others.
        let _ = turn.workspace_event(*id, Event::Inventory(report));
    }
    for report in hello.workspaces.iter().filter(|report| !known.contains(&report.workspace_id)) {
        remove_stray(turn, report);
    }
    let node_id = turn.row.id;
    turn.tell_first(ControlMessage::Welcome { node_id });
    Ok(())
}

fn record_report(turn: &mut Turn<'_>, report: &WorkspaceReport) -> std::result::Result<(), Denied> {
    if turn.tenancy(report.workspace_id).is_some() {
        // A workspace that ends is no reason to refuse the agent.
        let _ = turn.workspace_event(report.workspace_id, Event::Reported(seen(report)));
    } else {
        remove_stray(turn, report);
    }
    Ok(())
}

/// The machine has a workspace that is not, or no longer, meant to be there.
fn remove_stray(turn: &mut Turn<'_>, report: &WorkspaceReport) {
    if report.phase != WorkspacePhase::Absent {
        turn.tell(ControlMessage::RemoveWorkspace {
            workspace_id: report.workspace_id,
            spec_generation: report.spec_generation.saturating_add(1),
        });
    }
}

fn seen(report: &WorkspaceReport) -> Report {
    Report {
        phase: report.phase,
        spec_generation: report.spec_generation,
        code: report.failure.map(FailureCode::from),
        detail: report.detail.as_deref().map(cut),
        activity: report.activity,
    }
}

/// A workspace is used. One that is not here is not kept by it.
fn used(turn: &mut Turn<'_>, workspace: WorkspaceId, activity: Activity) -> std::result::Result<(), Denied> {
    // A workspace that is not made yet, or over, has no use for it.
    let _ = turn.workspace_event(workspace, Event::Used(activity));
    Ok(())
}

/// The agent gets on with making a workspace. One that is not here is not helped by it.
fn progressed(turn: &mut Turn<'_>, workspace: WorkspaceId) -> std::result::Result<(), Denied> {
    // A workspace that is made, or over, has no use for more time.
    let _ = turn.workspace_event(workspace, Event::Progressed);
    Ok(())
}

/// What was measured is stored in the batch that lets the node decide on it.
async fn record_node_posture(
    p: &impl Platform,
    settings: &Settings,
    id: NodeId,
    agent_epoch: i64,
    posture: Posture,
) -> Result<Driven> {
    let (verdict, json) = measured(posture, p.now())?;
    let seen = nodes::observe_posture(id, agent_epoch, verdict, json, p.now());
    let measured = node::Event::PostureMeasured(verdict);
    decide(p, settings, id, agent_epoch, vec![seen], |turn| turn.node_event(measured.clone())).await
}

fn measured(posture: Posture, now: UnixMillis) -> Result<(Verdict, String)> {
    let verdict = Verdict::of(&posture);
    let json = serde_json::to_string(&posture::kept(posture, now))
        .map_err(|error| Error::internal(format!("posture: {error}")))?;
    Ok((verdict, json))
}

/// A step as it is recorded, and when it ended.
fn boot_step(step: &BootStep, now: UnixMillis) -> (EventKind, UnixMillis) {
    let ended = step.started_at + std::time::Duration::from_millis(step.duration_ms);
    let event = EventKind::BootStep {
        step: cut(&step.step),
        duration_ms: step.duration_ms,
        error: step.error.as_deref().map(cut),
    };
    // The machine's clock may be ahead: nothing has happened in the future.
    (event, ended.min(now))
}

async fn record_boot_step(p: &impl Platform, id: NodeId, agent_epoch: i64, step: BootStep) -> Result<Driven> {
    let (event, at) = boot_step(&step, p.now());
    record_told(p, events::record_boot_step(id, agent_epoch, &event, at)).await
}

async fn record_told(p: &impl Platform, statement: Statement) -> Result<Driven> {
    let outcomes = p.batch(vec![statement]).await?;
    Ok(Driven { events: event_views(outcomes), ..Driven::default() })
}

async fn record_facts(p: &impl Platform, id: NodeId, agent_epoch: i64, facts: &Facts) -> Result<Driven> {
    let json = serde_json::to_string(facts).map_err(|error| Error::internal(format!("facts: {error}")))?;
    p.batch(vec![nodes::observe_facts(id, agent_epoch, facts, json, p.now())]).await?;
    Ok(Driven::default())
}

/// Progress as it is shown: texts of an agent are cut like those that are kept.
pub fn shown(progress: &Progress) -> Progress {
    Progress { step: cut(&progress.step), detail: progress.detail.as_deref().map(cut), ..progress.clone() }
}

/// The end of what a save hook printed, line by line: what it is about is said last.
fn end_of(text: &str) -> String {
    let kept = text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control());
    let kept: Vec<char> = kept.collect();
    kept.iter().skip(kept.len().saturating_sub(MAX_SAVED_CHARS)).collect()
}

/// A text of an agent as it is kept.
pub(super) fn cut(text: &str) -> String {
    posture::cut(text, MAX_TEXT_CHARS)
}
