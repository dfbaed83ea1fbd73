//! Every message of the link.

use ringfence_protocol::claims::{Jwk, Jwks};
use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::GrantId;
use ringfence_protocol::link::{
    Activity, AgentMessage, Attach, BootFailedReport, BootStep, BootstrapParams, CallbackGrant, ChannelId, CloseReason,
    ControlMessage, Hello, OpenChannel, Progress, WorkspacePhase, WorkspaceReport, WorkspaceSpec, close_code, unwrap,
    wrap,
};
use ringfence_protocol::state::{ActivityCause, BootFailure, EngineKind, SaveOutcome, WorkspaceFailure};

use crate::examples::{Pinned, at, container, facts, id, posture, secrets};

fn attach() -> Attach {
    Attach { terminal: "main".into(), cols: 120, rows: 40, epoch: 7, offset: 1024, viewer: id(255) }
}

fn report(phase: WorkspacePhase, detail: Option<&str>) -> WorkspaceReport {
    let failure = (phase == WorkspacePhase::Failed).then_some(WorkspaceFailure::ImageNotFound);
    let activity = (phase == WorkspacePhase::Running).then_some(Activity {
        at: at(40),
        cause: ActivityCause::Started,
        lease_ends_at: None,
    });
    let detail = detail.map(str::to_owned);
    WorkspaceReport { workspace_id: id(4), spec_generation: 3, phase, failure, detail, activity }
}

/// Its only purpose is to stop compiling when there is a new message, so that it gets an example.
fn agent_message_name(message: &AgentMessage) -> &'static str {
    match message {
        AgentMessage::Hello(_) => "hello",
        AgentMessage::BootStep(_) => "boot_step",
        AgentMessage::Ready => "ready",
        AgentMessage::Workspace(_) => "workspace",
        AgentMessage::BootFailed(_) => "boot_failed",
        AgentMessage::WorkspaceStep { .. } => "workspace_step",
        AgentMessage::Activity { .. } => "activity",
        AgentMessage::Saved { .. } => "saved",
        AgentMessage::SavedAll => "saved_all",
        AgentMessage::Progress(_) => "progress",
        AgentMessage::Notice { .. } => "notice",
        AgentMessage::NodePosture(_) => "node_posture",
        AgentMessage::WorkspacePosture { .. } => "workspace_posture",
        AgentMessage::Quarantine { .. } => "quarantine",
        AgentMessage::Facts(_) => "facts",
        AgentMessage::ChannelClosed { .. } => "channel_closed",
    }
}

fn control_message_name(message: &ControlMessage) -> &'static str {
    match message {
        ControlMessage::Welcome { .. } => "welcome",
        ControlMessage::EnsureWorkspace { .. } => "ensure_workspace",
        ControlMessage::RemoveWorkspace { .. } => "remove_workspace",
        ControlMessage::SaveAll => "save_all",
        ControlMessage::OpenChannel(_) => "open_channel",
        ControlMessage::CloseChannel { .. } => "close_channel",
        ControlMessage::Revoke { .. } => "revoke",
    }
}

pub(crate) fn agent_messages() -> Vec<AgentMessage> {
    let boot_step = |error: Option<&str>| BootStep {
        step: "trade the bootstrap token".into(),
        started_at: at(0),
        duration_ms: 41,
        error: error.map(str::to_owned),
    };
    let step = |error: Option<&str>| AgentMessage::BootStep(boot_step(error));
    vec![
        AgentMessage::Hello(Hello {
            protocol_version: 1,
            agent_version: "0.1.0".into(),
            agent_sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
            terminal_epoch: 7,
            engine: EngineKind::Unconfined,
            workspaces: vec![report(WorkspacePhase::Running, None)],
        }),
        step(None),
        step(Some("the name cannot be resolved")),
        AgentMessage::Ready,
        AgentMessage::Workspace(report(WorkspacePhase::Running, None)),
        AgentMessage::Workspace(report(WorkspacePhase::Stopped, None)),
        AgentMessage::Workspace(report(WorkspacePhase::Absent, None)),
        AgentMessage::Workspace(report(WorkspacePhase::Failed, Some("no space left"))),
        AgentMessage::BootFailed(BootFailedReport {
            failure: BootFailure::EngineOutdated,
            detail: "runc 1.1.5; 1.2.8 or 1.3.3 is needed".into(),
        }),
        AgentMessage::WorkspaceStep { workspace_id: id(4), step: boot_step(None) },
        AgentMessage::Activity {
            workspace_id: id(4),
            activity: Activity { at: at(41), cause: ActivityCause::Assistant, lease_ends_at: Some(at(600)) },
        },
        AgentMessage::Saved {
            workspace_id: id(4),
            outcome: SaveOutcome::Saved,
            duration_ms: 1_204,
            detail: "pushed to origin/wip".into(),
        },
        AgentMessage::SavedAll,
        AgentMessage::Progress(Progress {
            workspace_id: id(4),
            step: "pull the image".into(),
            detail: Some("3 of 5 layers".into()),
            done_bytes: Some(1024),
            total_bytes: Some(4096),
        }),
        AgentMessage::Notice { workspace_id: Some(id(4)), detail: "A process was killed.".into() },
        AgentMessage::Notice { workspace_id: None, detail: "A firewall rule was restored.".into() },
        AgentMessage::NodePosture(posture()),
        AgentMessage::WorkspacePosture { workspace_id: id(4), posture: posture() },
        AgentMessage::Quarantine { detail: "The firewall cannot be restored.".into() },
        AgentMessage::Facts(facts()),
        AgentMessage::ChannelClosed { channel: ChannelId(9), reason: CloseReason::Exited },
    ]
}

pub(crate) fn control_messages() -> Vec<ControlMessage> {
    vec![
        ControlMessage::Welcome { node_id: id(3) },
        ControlMessage::EnsureWorkspace {
            workspace_id: id(4),
            spec_generation: 3,
            spec: WorkspaceSpec {
                name: "quiet-otter".into(),
                running: true,
                container: None,
                idle_timeout_secs: None,
                save_within_secs: None,
            },
            secrets: WorkspaceSecrets::default(),
        },
        ControlMessage::EnsureWorkspace {
            workspace_id: id(4),
            spec_generation: 3,
            spec: WorkspaceSpec {
                name: "quiet-otter".into(),
                running: true,
                container: Some(container()),
                idle_timeout_secs: Some(1_800),
                save_within_secs: Some(60),
            },
            secrets: secrets(),
        },
        ControlMessage::RemoveWorkspace { workspace_id: id(4), spec_generation: 4 },
        ControlMessage::SaveAll,
        ControlMessage::OpenChannel(OpenChannel {
            channel: ChannelId(9),
            workspace_id: id(4),
            token: "eyJ".into(),
            attach: attach(),
        }),
        ControlMessage::CloseChannel { channel: ChannelId(9) },
        ControlMessage::Revoke { sid: GrantId::Session(id(6)) },
        ControlMessage::Revoke { sid: GrantId::ApiToken(id(7)) },
    ]
}

#[test]
fn messages_of_the_agent_keep_their_form() {
    let mut pinned = Pinned::default();
    for message in agent_messages() {
        pinned.json(agent_message_name(&message), &message);
    }
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn messages_to_the_agent_keep_their_form() {
    let mut pinned = Pinned::default();
    for message in control_messages() {
        pinned.json(control_message_name(&message), &message);
    }
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn close_reasons_keep_their_words_and_codes() {
    let mut pinned = Pinned::default();
    for reason in [
        CloseReason::TokenRefused,
        CloseReason::WorkspaceNotRunning,
        CloseReason::Invalid,
        CloseReason::Exited,
        CloseReason::Revoked,
        CloseReason::WorkspaceEnded,
        CloseReason::TooMany,
        CloseReason::SpawnFailed,
    ] {
        pinned.json(&close_code::of(reason).to_string(), &reason);
    }
    pinned.line("AGENT_AWAY", &close_code::AGENT_AWAY.to_string());
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn the_agents_requests_keep_their_form() {
    let mut pinned = Pinned::default();
    pinned.json(
        "BootstrapParams",
        &BootstrapParams {
            protocol_version: 1,
            agent_sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
        },
    );
    pinned.json(
        "CallbackGrant",
        &CallbackGrant {
            token: "eyJ".into(),
            expires_at: at(86_400),
            now: at(0),
            keys: Jwks {
                keys: vec![Jwk::ed25519("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into(), Some("2026-11".into()))],
            },
        },
    );
    pinned.json("Attach", &attach());
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn a_channel_frame_is_four_bytes_of_channel_and_the_frame() {
    let message = wrap(ChannelId(0x0102_0304), b"frame");
    assert_eq!(message, b"\x01\x02\x03\x04frame");
    assert_eq!(unwrap(&message), Some((ChannelId(0x0102_0304), &b"frame"[..])));
    assert_eq!(unwrap(b"\x01\x02\x03"), None);
}

#[test]
fn an_attachment_needs_only_the_viewer() {
    let attach: Attach = serde_json::from_value(serde_json::json!({ "viewer": attach().viewer })).unwrap();
    assert_eq!((attach.cols, attach.rows, attach.offset), (80, 24, 0));
    assert_eq!(attach.validate(), Ok(()));
}

#[test]
fn attachments_out_of_bounds_are_refused() {
    let with = |change: fn(&mut Attach)| {
        let mut attach = attach();
        change(&mut attach);
        attach.validate()
    };
    assert!(with(|a| a.cols = 0).is_err());
    assert!(with(|a| a.rows = 1001).is_err());
    assert!(with(|a| a.terminal = String::new()).is_err());
    assert!(with(|a| a.terminal = "x".repeat(33)).is_err());
    assert!(with(|a| a.terminal = "../etc".into()).is_err());
    assert!(with(|a| a.terminal = "build-2".into()).is_ok());
}

#[test]
fn the_token_of_an_opened_channel_is_not_in_its_debug_form() {
    let open =
        OpenChannel { channel: ChannelId(9), workspace_id: id(4), token: "very-secret".into(), attach: attach() };
    assert!(!format!("{open:?}").contains("very-secret"));
}
