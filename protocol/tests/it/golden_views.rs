//! Bodies of answers, and the messages of the events socket.

use ringfence_protocol::ids::kind;
use ringfence_protocol::lifecycle::{AliveView, LifecycleView, NextTransitionView, TransitionView};
use ringfence_protocol::link::Progress;
use ringfence_protocol::params::SecretText;
use ringfence_protocol::state::{
    ActivityCause, EndingCause, EngineChoice, EngineKind, Isolation, NetworkMode, NodeHealth, NodePolicy, NodeState,
    Permission, PostureOutcome, ProviderKind, Role, SaveOutcome, UserState, WorkspaceState,
};
use ringfence_protocol::sweeps::{
    SweepActionKind, SweepActionView, SweepKind, SweepOutcomeView, SweepStatusView, SweepView,
};
use ringfence_protocol::views::{
    ActivityView, ApiTokenView, AuditView, CatalogView, CheckView, ContainerLimitsView, ContainerView,
    CreatedApiTokenView, CredentialView, EndingView, EventKind, EventView, EventsView, MeView, NodeSummary, NodeView,
    Page, PatienceLimitsView, PostureView, PriceView, ProviderView, ProvisioningView, ReadyView, RegionView,
    SessionView, SignInLinkView, SizeView, SocketMessage, UserView, WorkspaceTokenView, WorkspaceView,
};

use crate::examples::{Pinned, at, euros, facts, id, posture_check, repository};

fn user() -> UserView {
    UserView {
        id: id(1),
        name: "Ada".into(),
        tenant_id: id(2),
        role: Role::Admin,
        state: UserState::Active,
        created_at: at(0),
    }
}

fn api_token() -> ApiTokenView {
    ApiTokenView { id: id(7), name: "ci".into(), created_at: at(0), expires_at: at(86_400) }
}

fn container() -> ContainerView {
    ContainerView {
        image: "docker.io/library/debian:13".into(),
        cpu_limit: 1.5,
        memory_limit_bytes: 2_147_483_648,
        disk_quota_bytes: 5_368_709_120,
        pids_limit: 512,
        network: NetworkMode::Restricted,
        allowed_domains: vec!["example.com".into()],
        repository: Some(repository()),
        env: vec!["LANG".into()],
        secrets: vec!["api_key".into()],
    }
}

fn container_limits() -> ContainerLimitsView {
    let least = ContainerView {
        network: NetworkMode::Internet,
        allowed_domains: vec![],
        repository: None,
        env: vec![],
        secrets: vec![],
        ..container()
    };
    ContainerLimitsView {
        default: least,
        cpu_limit_max: 4.0,
        memory_limit_bytes_max: 8_589_934_592,
        disk_quota_bytes_max: 21_474_836_480,
        pids_limit_max: 4096,
        network_max: NetworkMode::Internet,
        image_registries: vec!["docker.io/library".into()],
    }
}

const fn patience_limits() -> PatienceLimitsView {
    PatienceLimitsView {
        idle_timeout_secs: 1_800,
        idle_timeout_secs_max: 86_400,
        stop_keep_secs: 86_400,
        stop_keep_secs_max: 604_800,
        keep_alive_secs_max: 86_400,
        max_duration_secs: 3_600,
        max_duration_secs_max: 86_400,
    }
}

fn workspace() -> WorkspaceView {
    WorkspaceView {
        id: id(4),
        name: "quiet-otter".into(),
        state: WorkspaceState::Failed,
        state_since_at: at(40),
        deadline_at: Some(at(100)),
        failure: Some("node_lost".into()),
        reason: "Its node was lost.".into(),
        isolation: Isolation::User,
        container: Some(container()),
        idle_timeout_secs: 1_800,
        stop_keep_secs: 86_400,
        activity: Some(ActivityView { cause: ActivityCause::TerminalInput, until_at: at(41) }),
        keep_alive_until_at: Some(at(3_600)),
        ending: Some(EndingView {
            at: at(3_600),
            cause: EndingCause::Idle,
            detail: "It is stopped when it was not used for 30 minutes. Its files are kept.".into(),
        }),
        node: NodeSummary {
            id: id(3),
            state: NodeState::Ready,
            provider: ProviderKind::Hetzner,
            region: "fsn1".into(),
            size: "cx23".into(),
            engine: Some(EngineKind::Unconfined),
            price_per_hour: euros(6_600),
        },
        placement_explanation: "A new node: none of yours has room.".into(),
        spec_generation: 3,
        row_version: 5,
        created_at: at(0),
    }
}

/// With every optional field.
fn node() -> NodeView {
    NodeView {
        id: id(3),
        state: NodeState::Quarantined,
        state_since_at: at(40),
        deadline_at: Some(at(940)),
        failure: Some("bootstrap_key_conflict".into()),
        reason: "Its bootstrap token was used by another key.".into(),
        policy: NodePolicy::Cordoned,
        health: NodeHealth::Disconnected,
        away_since_at: Some(at(50)),
        isolation: Isolation::User,
        provider: ProviderKind::Hetzner,
        credential_id: id(5),
        region: "fsn1".into(),
        size: "cx23".into(),
        provider_instance_id: Some("42".into()),
        engine: Some(EngineKind::Unconfined),
        agent_version: Some("0.1.0".into()),
        facts: Some(facts()),
        slots: 3,
        workspaces: vec![id(4)],
        warm_since_at: Some(at(50)),
        hard_deadline_at: at(604_800),
        price_per_hour: euros(6_600),
        stuck: true,
        cost_so_far: euros(110),
        row_version: 9,
        created_at: at(0),
    }
}

fn events() -> Vec<EventView> {
    let kinds = [
        EventKind::NodeState { state: NodeState::Booting, detail: "The machine exists.".into() },
        EventKind::WorkspaceState { state: WorkspaceState::Running, detail: "It runs.".into() },
        EventKind::BootStep { step: "trade the bootstrap token".into(), duration_ms: 41, error: None },
        EventKind::BootStep { step: "dial the link".into(), duration_ms: 5_000, error: Some("no answer".into()) },
        EventKind::Notice { detail: "The link is back.".into() },
        EventKind::EndingSoon { ends_at: at(640), cause: EndingCause::KeepOver, detail: "It is deleted.".into() },
        EventKind::Saved { outcome: SaveOutcome::TimedOut, duration_ms: 60_000, detail: "pushing".into() },
    ];
    (41..)
        .zip(kinds)
        .map(|(number, event)| {
            // Stops compiling when there is a new event, so that it gets an example.
            let workspace_id = match event {
                EventKind::WorkspaceState { .. } | EventKind::EndingSoon { .. } | EventKind::Saved { .. } => {
                    Some(id(4))
                }
                EventKind::NodeState { .. } | EventKind::BootStep { .. } | EventKind::Notice { .. } => None,
            };
            EventView { id: number, at: at(number), node_id: id(3), workspace_id, event }
        })
        .collect()
}

#[test]
fn views_of_people_and_their_tokens_keep_their_form() {
    let secret = |text: &str| SecretText::new(text.into());
    let mut pinned = Pinned::default();
    pinned.json("UserView", &user());
    pinned.json(
        "MeView",
        &MeView {
            user: user(),
            session_id: Some(id(6)),
            expires_at: at(604_800),
            engine: EngineChoice::Containers,
            container_limits: Some(container_limits()),
            patience_limits: patience_limits(),
        },
    );
    pinned.json(
        "MeView with an API token",
        &MeView {
            user: user(),
            session_id: None,
            expires_at: at(604_800),
            engine: EngineChoice::Unconfined,
            container_limits: None,
            patience_limits: patience_limits(),
        },
    );
    pinned.json(
        "SessionView",
        &SessionView {
            id: id(6),
            current: true,
            created_at: at(0),
            expires_at: at(604_800),
            user_agent: "Mozilla/5.0".into(),
            source_address: "192.0.2.7".into(),
        },
    );
    pinned.json(
        "SignInLinkView",
        &SignInLinkView { url: secret("https://ringfence.example.workers.dev/sign-in#token=t"), expires_at: at(600) },
    );
    pinned.json("ApiTokenView", &api_token());
    pinned.json("CreatedApiTokenView", &CreatedApiTokenView { token: api_token(), secret: secret("rf_t") });
    pinned.json(
        "WorkspaceTokenView",
        &WorkspaceTokenView {
            token: secret("eyJ"),
            permissions: vec![Permission::TerminalRead],
            expires_at: at(3_600),
        },
    );
    pinned.json(
        "AuditView",
        &AuditView {
            id: 12,
            at: at(0),
            actor: id::<ringfence_protocol::ids::kind::User>(1).to_string(),
            action: "session.create".into(),
            subject: id::<ringfence_protocol::ids::kind::Session>(6).to_string(),
            source_address: "192.0.2.7".into(),
            detail: String::new(),
        },
    );
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn views_of_clouds_keep_their_form() {
    let mut pinned = Pinned::default();
    pinned.json(
        "ProviderView",
        &ProviderView {
            kind: ProviderKind::Hetzner,
            name: "Hetzner Cloud".into(),
            secret_hint: "An API token with read and write permission".into(),
            secret_url: "https://console.hetzner.com/".into(),
            poweroff_ends_billing: false,
            billing_period_secs: Some(3600),
        },
    );
    let credential = CredentialView {
        id: id(5),
        provider: ProviderKind::Hetzner,
        name: "my project".into(),
        created_at: at(0),
        validated_at: Some(at(1)),
        row_version: 2,
    };
    pinned.json("CredentialView", &credential);
    pinned.json("CredentialView never validated", &CredentialView { validated_at: None, ..credential });
    pinned.json(
        "CatalogView",
        &CatalogView {
            provider: ProviderKind::Hetzner,
            regions: vec![RegionView { id: "fsn1".into(), name: "Falkenstein, DE".into() }],
            sizes: vec![SizeView {
                id: "cx23".into(),
                cpus: 2,
                memory_bytes: 4_294_967_296,
                disk_bytes: 42_949_672_960,
                architecture: "x86_64".into(),
                prices: vec![PriceView { region: "fsn1".into(), per_hour: euros(6_600) }],
            }],
            fetched_at: at(0),
        },
    );
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn views_of_nodes_and_workspaces_keep_their_form() {
    let mut pinned = Pinned::default();
    pinned.json("WorkspaceView", &workspace());
    pinned.json(
        "WorkspaceView with what it has at least",
        &WorkspaceView {
            deadline_at: None,
            failure: None,
            container: None,
            activity: None,
            keep_alive_until_at: None,
            ending: None,
            ..workspace()
        },
    );
    pinned.json(
        "PostureView",
        &PostureView {
            holds: false,
            measured_at: at(40),
            checks: vec![posture_check(PostureOutcome::Fail), posture_check(PostureOutcome::Unknown)],
        },
    );
    pinned.json("NodeView", &node());
    pinned.json(
        "NodeView with what it has at least",
        &NodeView {
            deadline_at: None,
            failure: None,
            provider_instance_id: None,
            engine: None,
            agent_version: None,
            facts: None,
            warm_since_at: None,
            workspaces: vec![],
            ..node()
        },
    );
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn lists_events_and_messages_of_the_events_socket_keep_their_form() {
    let mut pinned = Pinned::default();
    pinned.json("Page", &Page { items: vec![api_token()], next_cursor: Some("b2Zmc2V0".into()) });
    pinned.json("Page, the last", &Page::<ApiTokenView> { items: vec![], next_cursor: None });
    pinned.json("EventsView", &EventsView { items: events(), last_id: 45 });
    pinned.json(
        "SocketMessage::Snapshot",
        &SocketMessage::Snapshot { workspace: Box::new(workspace()), node: Box::new(node()) },
    );
    pinned.json("SocketMessage::Events", &SocketMessage::Events { items: events() });
    pinned.json(
        "SocketMessage::Progress",
        &SocketMessage::Progress(Progress {
            workspace_id: id(4),
            step: "pull the image".into(),
            detail: None,
            done_bytes: None,
            total_bytes: None,
        }),
    );
    pinned.json(
        "ReadyView",
        &ReadyView {
            ready: false,
            checks: vec![
                CheckView { name: "database".into(), ok: true, detail: None },
                CheckView { name: "migrations".into(), ok: false, detail: Some("behind".into()) },
            ],
            sweeps: vec![SweepStatusView {
                sweep: SweepKind::Inventory,
                succeeded_at: Some(at(50)),
                oldest_at: Some(at(20)),
            }],
        },
    );
    pinned.json(
        "LifecycleView",
        &LifecycleView {
            state: "ready".into(),
            reason: "Takes workspaces.".into(),
            alive: Some(AliveView { because: "because a workspace has a place on it.".into(), until_at: Some(at(60)) }),
            next: Some(NextTransitionView {
                state: "destroying".into(),
                at: at(60),
                cause: "Its time is over.".into(),
            }),
            hard_limit_at: Some(at(3600)),
            readable_until_at: Some(at(7200)),
            price_per_hour: euros(6_600),
            cost_so_far: euros(110),
            workspaces_on_node: 1,
            transitions: vec![TransitionView { at: at(0), state: "requested".into(), cause: "Asked for.".into() }],
        },
    );
    pinned.json(
        "ProvisioningView",
        &ProvisioningView {
            paused: true,
            by_operator: false,
            reason: Some("the bill".into()),
            by: Some(id::<kind::User>(1).to_string()),
            since_at: Some(at(0)),
        },
    );
    pinned.json(
        "SweepView",
        &SweepView {
            dry_run: true,
            sweeps: vec![SweepOutcomeView {
                sweep: SweepKind::Overdue,
                problem: Some("away".into()),
                actions: vec![SweepActionView {
                    action: SweepActionKind::WakeNode,
                    subject: id::<kind::Node>(3).to_string(),
                    detail: "It is ready and something of it is overdue.".into(),
                    done: false,
                }],
            }],
        },
    );
    insta::assert_snapshot!(pinned.into_text());
}
