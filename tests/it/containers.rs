//! Workspaces in containers from the request to the agent and back: what is asked, what is secret, what was measured, what
//! failed.

use std::time::Duration;

use ringfence::app::agent_report::agent_report;
use ringfence::app::delete_workspace::delete_workspace;
use ringfence::app::idempotency::Repeatable;
use ringfence::app::request_workspace::request_workspace;
use ringfence::app::{read, sessions};
use ringfence_protocol::link::{AgentMessage, BootFailedReport, BootStep, Progress, WorkspacePhase, WorkspaceReport};
use ringfence_protocol::params::{CreateWorkspaceParams, EventsParams, SecretText};
use ringfence_protocol::posture::MAX_CHECKS;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::{
    BootFailure, EngineChoice, EngineKind, NetworkMode, NodeState, PostureOutcome, Role, WorkspaceFailure,
    WorkspaceState,
};
use ringfence_protocol::views::EventKind;

use crate::support::agent::{FakeAgent, posture};
use crate::support::keys::config;
use crate::support::world::{Someone, World, run};

fn with_secret() -> CreateWorkspaceParams {
    CreateWorkspaceParams {
        image: Some("debian:13".into()),
        secrets: Some([("deploy-key".to_owned(), SecretText::new("s3cret-value".into()))].into()),
        env: Some([("EDITOR".to_owned(), "vi".to_owned())].into()),
        ..CreateWorkspaceParams::default()
    }
}

async fn notices(world: &World, who: &Someone) -> Vec<String> {
    let events = read::events(&world.p, &who.actor, &EventsParams::default()).await.unwrap();
    let notice = |event: EventKind| match event {
        EventKind::Notice { detail } => Some(detail),
        EventKind::NodeState { .. } | EventKind::WorkspaceState { .. } | EventKind::BootStep { .. } => None,
        EventKind::EndingSoon { .. } | EventKind::Saved { .. } => None,
    };
    events.items.into_iter().filter_map(|event| notice(event.event)).collect()
}

#[test]
fn what_was_asked_reaches_the_agent_with_its_secrets_and_these_nobody_else() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let created = world.create_with(&who, with_secret(), vec![]).await.unwrap();
        let shown = created.container.clone().unwrap();
        assert_eq!(shown.image, "docker.io/library/debian:13");
        assert_eq!((shown.env, shown.secrets), (vec!["EDITOR".to_owned()], vec!["deploy-key".to_owned()]));
        world.until_running(&who, created.id).await;
        {
            let agents = world.agents.borrow();
            let (spec, secrets) = &agents[&created.node.id].told[&created.id];
            assert_eq!(spec.container.as_ref().unwrap().env["EDITOR"], "vi");
            assert_eq!(secrets.files["deploy-key"].expose(), "s3cret-value");
        }
        let stored =
            || world.p.db.texts("SELECT COALESCE(sealed_secrets, '') || COALESCE(container_json, '') FROM workspaces");
        assert!(!stored()[0].contains("s3cret"), "nothing in the clear");
        assert_eq!(world.p.db.count("SELECT COUNT(sealed_secrets) FROM workspaces"), 1);

        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        assert_eq!(
            world.p.db.count("SELECT COUNT(sealed_secrets) + COUNT(seal_version) FROM workspaces"),
            0,
            "erased at once"
        );
        world.until("it is gone", async || world.workspace(&who, created.id).await.state == WorkspaceState::Gone).await;
        world.assert_rules();
    });
}

#[test]
fn what_is_beyond_a_ceiling_is_refused_before_anything_is_written() {
    run(async {
        let world = World::of_containers();
        let config = config(&[
            ("RINGFENCE_AGENT_SHA256", &"0f".repeat(32)),
            ("RINGFENCE_IMAGE_REGISTRIES", "docker.io"),
            ("RINGFENCE_NETWORK", "none"),
            ("RINGFENCE_NETWORK_MAX", "restricted"),
        ]);
        let config = config.map_err(|error| error.0).unwrap();
        let caller = world.caller(&world.someone(), Role::Member);
        for params in [
            CreateWorkspaceParams { network: Some(NetworkMode::Internet), ..CreateWorkspaceParams::default() },
            CreateWorkspaceParams { image: Some("ghcr.io/me/app".into()), ..CreateWorkspaceParams::default() },
        ] {
            let repeatable = Repeatable::new(&caller, &routes::WORKSPACE_CREATE, Some("k".into()), "0".into());
            let refused = request_workspace(&world.p, &config, &caller, params, &repeatable).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::CeilingExceeded, "{}", refused.detail);
        }
        let rows = "SELECT (SELECT COUNT(*) FROM nodes) + (SELECT COUNT(*) FROM workspaces)
                     + (SELECT COUNT(*) FROM idempotency_keys) + (SELECT COUNT(*) FROM audit)";
        assert_eq!(world.p.db.count(rows), 0);
        let shown = sessions::me(&config, &caller).container_limits.unwrap();
        assert_eq!(
            (shown.network_max, shown.image_registries),
            (NetworkMode::Restricted, vec!["docker.io".to_owned()])
        );
    });
}

#[test]
fn secrets_of_a_workspace_that_failed_or_was_lost_are_erased() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let created = world.create_with(&who, with_secret(), vec![]).await.unwrap();
        world.machines_boot.set(false);
        world.until_node_gone(&who, created.node.id).await;
        assert_eq!(world.workspace(&who, created.id).await.state, WorkspaceState::Failed);
        assert_eq!(world.p.db.count("SELECT COUNT(sealed_secrets) FROM workspaces"), 0);
    });
}

#[test]
fn secrets_that_do_not_open_are_never_left_out() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let created = world.create_with(&who, with_secret(), vec![]).await.unwrap();
        // As if it were another row's: the seal is bound to its own.
        world.p.db.execute("UPDATE workspaces SET sealed_secrets = 'AAAA' || substr(sealed_secrets, 5)").unwrap();
        world.until("it fails", async || world.workspace(&who, created.id).await.state == WorkspaceState::Failed).await;
        assert_eq!(world.workspace(&who, created.id).await.failure.as_deref(), Some("create_timeout"));
        assert!(
            world.agents.borrow()[&created.node.id].told.is_empty(),
            "the agent was not told to make it without them"
        );
    });
}

#[test]
fn a_machine_that_was_not_measured_takes_no_workspace_whatever_its_agent_says() {
    run(async {
        for measured in [None, Some(posture(PostureOutcome::Fail)), Some(posture(PostureOutcome::Unknown))] {
            let world = World::of_containers();
            let who = world.someone();
            let created = world.create(&who).await.unwrap();
            let agent =
                FakeAgent { engine: Some(EngineKind::Podman), posture: measured.clone(), ..FakeAgent::default() };
            world.agents.borrow_mut().insert(created.node.id, agent);
            world.until("it boots", async || world.node(&who, created.node.id).await.state == NodeState::Booting).await;
            world.connect(created.node.id).await;
            assert_eq!(world.node(&who, created.node.id).await.state, NodeState::Booting, "{measured:?}");
            let seen = read::node_posture(&world.p, &who.actor, created.node.id).await;
            match &measured {
                None => assert_eq!(seen.unwrap_err().code, ErrorCode::NotFound),
                Some(_) => assert!(!seen.unwrap().holds),
            }
            // Measured again, and it holds: what the agent said before counts.
            world.say(created.node.id, AgentMessage::NodePosture(posture(PostureOutcome::Pass))).await;
            world.until_running(&who, created.id).await;
            assert!(read::node_posture(&world.p, &who.actor, created.node.id).await.unwrap().holds);
        }
    });
}

#[test]
fn a_node_whose_posture_breaks_gets_no_further_workspace_until_it_holds_again() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        world.say(first.node.id, AgentMessage::NodePosture(posture(PostureOutcome::Fail))).await;
        assert!(notices(&world, &who).await.iter().any(|notice| notice.contains("no new workspaces")));
        let second = world.create(&who).await.unwrap();
        assert_ne!(second.node.id, first.node.id);
        assert!(second.placement_explanation.contains("not measured"), "{}", second.placement_explanation);
        world.say(first.node.id, AgentMessage::NodePosture(posture(PostureOutcome::Pass))).await;
        assert_eq!(world.create(&who).await.unwrap().node.id, first.node.id);
        assert_eq!(world.node(&who, first.node.id).await.state, NodeState::Ready, "what runs there goes on");
        world.assert_rules();
    });
}

#[test]
fn a_container_is_never_placed_on_a_machine_without_containers_nor_the_other_way_round() {
    run(async {
        for (first, second) in
            [(EngineChoice::Unconfined, EngineChoice::Containers), (EngineChoice::Containers, EngineChoice::Unconfined)]
        {
            let world = World::new();
            let who = world.someone();
            world.engine.set(first);
            let one = world.create(&who).await.unwrap();
            world.until_running(&who, one.id).await;
            world.engine.set(second);
            let other = world.create(&who).await.unwrap();
            assert_ne!(one.node.id, other.node.id, "{first:?} and {second:?}");
            // And the claim itself refuses, whatever placement says.
            world.p.db.execute("UPDATE nodes SET posture_holds = 1, posture_epoch = agent_epoch").unwrap();
            let taken = world.p.db.count("SELECT COUNT(*) FROM node_slots");
            assert_eq!(taken, 2);
        }
    });
}

#[test]
fn the_cheapest_machine_with_room_for_the_workspace_is_ordered_and_a_small_one_is_left_alone() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let asked = |memory: u64, cpus: f64| CreateWorkspaceParams {
            memory_limit_bytes: Some(memory),
            cpu_limit: Some(cpus),
            ..CreateWorkspaceParams::default()
        };
        let small = world.create_with(&who, asked(2 << 30, 1.0), vec![]).await.unwrap();
        assert_eq!(small.node.size, "cx23");
        world.until_running(&who, small.id).await;
        // Four GiB and what the system needs do not fit into four.
        let large = world.create_with(&who, asked(4 << 30, 1.0), vec![]).await.unwrap();
        assert_eq!((large.node.size.as_str(), large.node.id == small.node.id), ("cx33", false));
        assert!(large.placement_explanation.contains("too small"), "{}", large.placement_explanation);
        let fast = world.create_with(&who, asked(1 << 30, 2.5), vec![]).await.unwrap();
        assert_eq!(fast.node.size, "cx33");
        assert_eq!(world.create_with(&who, asked(1 << 30, 1.0), vec![]).await.unwrap().node.id, small.node.id);
        let refused = world.create_with(&who, asked(32 << 30, 1.0), vec![]).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotOffered);
        assert!(refused.detail.contains("33 GiB of memory"), "{}", refused.detail);
        let cramped = CreateWorkspaceParams { size: Some("cx23".into()), ..asked(4 << 30, 1.0) };
        assert_eq!(world.create_with(&who, cramped, vec![]).await.unwrap_err().code, ErrorCode::NotOffered);
    });
}

#[test]
fn a_failure_has_its_code_and_what_was_seen_cut_to_one_line() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        let engine = Some(EngineKind::Podman);
        let agent =
            FakeAgent { mute: true, engine, posture: Some(posture(PostureOutcome::Pass)), ..FakeAgent::default() };
        world.agents.borrow_mut().insert(created.node.id, agent);
        world
            .until("it is being made", async || {
                world.workspace(&who, created.id).await.state == WorkspaceState::Creating
            })
            .await;
        let report = WorkspaceReport {
            workspace_id: created.id,
            spec_generation: 1,
            phase: WorkspacePhase::Failed,
            failure: Some(WorkspaceFailure::ImageNotFound),
            detail: Some(format!("manifest\u{1b}[31m unknown\n{}", "x".repeat(9_999))),
            activity: None,
        };
        world.say(created.node.id, AgentMessage::Workspace(report)).await;
        let failed = world.workspace(&who, created.id).await;
        assert_eq!((failed.state, failed.failure.as_deref()), (WorkspaceState::Failed, Some("image_not_found")));
        assert!(failed.reason.contains("no such image") && failed.reason.contains("Seen: manifest[31m unknownxxx"));
        assert!(failed.reason.len() < 1_000 && !failed.reason.contains('\u{1b}'));
    });
}

#[test]
fn a_boot_that_failed_ends_the_node_with_its_reason_and_deletes_the_machine() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.machines_boot.set(false);
        world.until("it boots", async || world.node(&who, created.node.id).await.state == NodeState::Booting).await;
        world.links.borrow_mut().insert(created.node.id, 1);
        let report = BootFailedReport { failure: BootFailure::EngineOutdated, detail: "runc 1.1.5".into() };
        world.say(created.node.id, AgentMessage::BootFailed(report.clone())).await;
        world.until_node_gone(&who, created.node.id).await;
        let (node, workspace) = (world.node(&who, created.node.id).await, world.workspace(&who, created.id).await);
        assert_eq!(node.failure.as_deref(), Some("engine_outdated"));
        assert!(node.reason.contains("Seen: runc 1.1.5"), "{}", node.reason);
        assert_eq!((workspace.state, workspace.failure.as_deref()), (WorkspaceState::Failed, Some("engine_outdated")));
        assert!(world.cloud.is_empty());
        world.assert_history();
    });
}

#[test]
fn a_machine_that_lost_its_firewall_is_quarantined_with_its_agents_credentials_ended() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        world.say(created.node.id, AgentMessage::Quarantine { detail: "RINGFENCE-INPUT is gone".into() }).await;
        let node = world.node(&who, created.node.id).await;
        assert_eq!((node.state, node.failure.as_deref()), (NodeState::Quarantined, Some("firewall_lost")));
        assert!(node.reason.contains("RINGFENCE-INPUT is gone"));
        assert!(!world.links.borrow().contains_key(&created.node.id), "its link is closed");
        let stale = agent_report(&world.p, &world.settings, created.node.id, 1, AgentMessage::Ready).await.unwrap();
        assert!(stale.refused);
        world.machines_boot.set(false);
        world.until_node_gone(&who, created.node.id).await;
        assert!(world.cloud.is_empty());
    });
}

#[test]
fn pulling_and_cloning_are_steps_of_the_workspace_and_give_it_time() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        let engine = Some(EngineKind::Podman);
        let agent =
            FakeAgent { mute: true, engine, posture: Some(posture(PostureOutcome::Pass)), ..FakeAgent::default() };
        world.agents.borrow_mut().insert(created.node.id, agent);
        world
            .until("it is being made", async || {
                world.workspace(&who, created.id).await.state == WorkspaceState::Creating
            })
            .await;
        let started = world.p.now.get();
        let deadline = async || world.workspace(&who, created.id).await.deadline_at.unwrap();
        let before = deadline().await;
        let progress = Progress {
            workspace_id: created.id,
            step: "pull the image".into(),
            detail: Some("3 of 5 layers".into()),
            done_bytes: Some(5),
            total_bytes: Some(9),
        };
        for minute in 1..20 {
            world.run_until_time(started + Duration::from_secs(60 * minute)).await;
            if world.workspace(&who, created.id).await.state != WorkspaceState::Creating {
                assert_eq!(minute, 15, "the limit is not moved");
                assert_eq!(world.workspace(&who, created.id).await.failure.as_deref(), Some("create_timeout"));
                break;
            }
            world.say(created.node.id, AgentMessage::Progress(progress.clone())).await;
            let step = BootStep { step: "pull".into(), started_at: started, duration_ms: 1_500 + minute, error: None };
            world.say(created.node.id, AgentMessage::WorkspaceStep { workspace_id: created.id, step }).await;
            assert!(deadline().await > before);
        }
        let events = read::events(&world.p, &who.actor, &EventsParams::default()).await.unwrap().items;
        let steps = events.iter().filter(|event| matches!(event.event, EventKind::BootStep { .. }));
        assert!(steps.clone().count() > 10 && steps.clone().all(|event| event.workspace_id == Some(created.id)));
        assert!(!serde_json::to_string(&events).unwrap().contains("3 of 5 layers"), "progress is not recorded");
    });
}

#[test]
fn an_agent_tells_of_its_own_workspaces_only_and_not_without_end() {
    run(async {
        let world = World::of_containers();
        let (who, other) = (world.someone(), world.someone());
        let (mine, theirs) = (world.create(&who).await.unwrap(), world.create(&other).await.unwrap());
        world.until_running(&who, mine.id).await;
        world.until_running(&other, theirs.id).await;
        let notice = |workspace_id, n| AgentMessage::Notice { workspace_id, detail: format!("notice {n}") };
        world.say(mine.node.id, notice(Some(theirs.id), 0)).await;
        assert!(notices(&world, &other).await.is_empty() && notices(&world, &who).await.is_empty());
        world
            .say(
                mine.node.id,
                AgentMessage::WorkspacePosture { workspace_id: theirs.id, posture: posture(PostureOutcome::Pass) },
            )
            .await;
        let seen = read::workspace_posture(&world.p, &other.actor, theirs.id).await;
        assert_eq!(seen.unwrap_err().code, ErrorCode::NotFound);
        for n in 0..300 {
            world.say(mine.node.id, notice(None, n)).await;
        }
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM events WHERE kind = 'notice'"), 200);
    });
}

#[test]
fn a_posture_is_for_its_owner_once_there_is_one() {
    run(async {
        let world = World::of_containers();
        let (who, stranger) = (world.someone(), world.someone());
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let measured = async |actor| read::workspace_posture(&world.p, actor, created.id).await;
        assert_eq!(measured(&who.actor).await.unwrap_err().code, ErrorCode::NotFound);
        let mut large = posture(PostureOutcome::Pass);
        large.checks = vec![large.checks[0].clone(); MAX_CHECKS + 50];
        for (posture, holds) in [(posture(PostureOutcome::Pass), true), (large, false)] {
            world.say(created.node.id, AgentMessage::WorkspacePosture { workspace_id: created.id, posture }).await;
            let seen = measured(&who.actor).await.unwrap();
            assert_eq!((seen.holds, seen.checks.len() <= MAX_CHECKS), (holds, true));
        }
        assert_eq!(measured(&stranger.actor).await.unwrap_err().code, ErrorCode::NotFound);
        let node = read::node_posture(&world.p, &stranger.actor, created.node.id).await;
        assert_eq!(node.unwrap_err().code, ErrorCode::NotFound);
    });
}

#[test]
fn a_workspace_that_ended_by_itself_says_why_and_can_be_started_again() {
    run(async {
        let world = World::of_containers();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let report = WorkspaceReport {
            workspace_id: created.id,
            spec_generation: 1,
            phase: WorkspacePhase::Stopped,
            failure: Some(WorkspaceFailure::OutOfMemory),
            detail: None,
            activity: None,
        };
        world.say(created.node.id, AgentMessage::Workspace(report)).await;
        assert_eq!(world.workspace(&who, created.id).await.state, WorkspaceState::Stopped);
        assert!(notices(&world, &who).await.iter().any(|notice| notice.contains("ran out of memory")));
    });
}
