//! Machines that are kept warm: so many empty ones are there for their owner's next workspace, and nobody else's. How missing
//! ones are made is in `warm_sweep`.

use std::time::Duration;

use ringfence::app::delete_node::delete_node;
use ringfence::app::delete_workspace::delete_workspace;
use ringfence::app::node_policy::set_policy;
use ringfence::app::{credentials, lifecycle};
use ringfence::ports::Clock;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{NodePolicy, NodeState, Role};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::warm::SetWarmPoolParams;

use crate::support::pools::{DAY, MINUTE, ask, fill, live, of, pool, somebody, sweep};
use crate::support::world::{World, run};

#[test]
fn what_is_asked_for_is_made_one_a_sweep_and_no_more() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        assert_eq!(pool(&world, &who).await.minimum, 0);
        assert!(sweep(&world).await.is_empty());
        let asked = ask(&world, &who, of(2)).await.unwrap();
        let machine = asked.machine.unwrap();
        assert_eq!((machine.size.as_str(), machine.region.as_str()), ("cx23", "fsn1"));
        assert_eq!(machine.price_per_hour.amount, "0.0066");
        assert_eq!((asked.warm, asked.being_made, asked.problem), (0, 0, None));
        for made in [1, 2, 2, 2] {
            sweep(&world).await;
            assert_eq!(live(&world).len(), made);
        }
        assert_eq!(pool(&world, &who).await.being_made, 2);
        world.until("both are warm", async || pool(&world, &who).await.warm == 2).await;
        assert!(sweep(&world).await.is_empty());
        world.assert_history();
    });
}

#[test]
fn kept_machines_outlive_their_idle_time_and_only_as_many_as_asked() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        // Two that workspaces have left, and one that is asked for.
        let large = CreateWorkspaceParams { size: Some("cx33".into()), ..CreateWorkspaceParams::default() };
        let small = world.create(&who).await.unwrap();
        let other = world.create_with(&who, large, Vec::new()).await.unwrap();
        assert_ne!(small.node.id, other.node.id);
        for made in [&small, &other] {
            world.until_running(&who, made.id).await;
            delete_workspace(&world.p, &world.settings, &who.actor, made.id, vec![]).await.unwrap();
        }
        let both_warm = async || pool(&world, &who).await.warm == 2;
        ask(&world, &who, of(1)).await.unwrap();
        world.until("both are warm", both_warm).await;
        let kept = live(&world)[0];
        let begun = world.p.now();
        world.run_until_time(begun + DAY).await;
        assert_eq!(live(&world), [kept], "the first by its id");
        let life = lifecycle::of_node(&world.p, &world.settings.timing, &who.actor, kept).await.unwrap();
        let alive = life.alive.unwrap();
        assert!(alive.because.contains("because you keep a machine warm"), "{}", alive.because);
        assert_eq!(alive.until_at, None);
        assert_eq!(life.next.unwrap().at, world.node(&who, kept).await.hard_deadline_at);
        assert!(sweep(&world).await.is_empty());

        ask(&world, &who, of(0)).await.unwrap();
        world.until_node_gone(&who, kept).await;
        assert_eq!(world.node(&who, kept).await.failure.as_deref(), Some("idle"));
        // As any other that is warm: it does not wait until it would have been asked again.
        assert!(world.p.now().since(begun) < DAY + Duration::from_secs(35 * 60), "{}", world.p.now());
        assert!(sweep(&world).await.is_empty());
        assert!(world.cloud.is_empty());
    });
}

#[test]
fn a_kept_machine_is_asked_again_six_times_a_day() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        let node = live(&world)[0];
        let version = || world.p.db.count(&format!("SELECT row_version FROM nodes WHERE id = '{node}'"));
        let before = version();
        world.run_until_time(world.p.now() + DAY).await;
        assert!((6..=7).contains(&(version() - before)), "{} writes", version() - before);
    });
}

#[test]
fn the_next_workspace_takes_the_kept_machine_and_exactly_one_is_made_in_its_place() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        let kept = live(&world)[0];
        let created = world.create(&who).await.unwrap();
        assert_eq!(created.node.id, kept, "{}", created.placement_explanation);
        assert_eq!((pool(&world, &who).await.warm, live(&world).len()), (0, 1));
        for _ in 0..3 {
            sweep(&world).await;
            assert_eq!(live(&world).len(), 2);
        }
        world.until("another is warm", async || pool(&world, &who).await.warm == 1).await;
        world.until_running(&who, created.id).await;
        // What it leaves is one more than asked for, and goes in its time.
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        world.run_until_time(world.p.now() + DAY / 4).await;
        assert_eq!(live(&world).len(), 1);
        world.assert_rules();
    });
}

#[test]
fn a_pool_is_of_its_users_own_cloud_and_counts_its_users_own_machines() {
    run(async {
        let world = World::new();
        let (who, other) = (somebody(&world), somebody(&world));
        let theirs = SetWarmPoolParams { credential_id: Some(other.credential), ..of(1) };
        assert_eq!(ask(&world, &who, theirs).await.unwrap_err().code, ErrorCode::NotFound);
        ask(&world, &who, of(1)).await.unwrap();
        ask(&world, &other, of(1)).await.unwrap();
        sweep(&world).await;
        let owners = "SELECT COUNT(*) FROM nodes n JOIN provider_credentials c ON c.id = n.credential_id WHERE c.user_id = n.user_id";
        assert_eq!((live(&world).len(), world.p.db.count(owners)), (2, 2), "one each");
        fill(&world, &who).await;
        let stranger = world.someone();
        let created = world.create(&stranger).await.unwrap();
        assert_eq!(live(&world).len(), 3, "nobody else's workspace takes one: {}", created.placement_explanation);
        // The schema refuses another's credential whoever writes it.
        let stolen = format!(
            "UPDATE warm_pools SET credential_id = '{}' WHERE user_id = '{}'",
            other.credential, who.actor.user_id
        );
        assert!(world.p.db.execute(&stolen).unwrap_err().to_string().contains("FOREIGN KEY"));
    });
}

#[test]
fn one_whose_agent_is_away_is_not_kept_past_its_idle_time() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        let lost = live(&world)[0];
        world.machines_boot.set(false);
        world.links.borrow_mut().remove(&lost);
        world.p.db.execute("UPDATE nodes SET connected_at_ms = NULL").unwrap();
        let view = pool(&world, &who).await;
        assert!(view.warm == 0 && view.problem.unwrap().contains("cannot take a workspace now"));
        assert!(sweep(&world).await.is_empty(), "not one more for every link that is away for a moment");
        world.until_node_gone(&who, lost).await;
        assert_eq!(world.node(&who, lost).await.failure.as_deref(), Some("idle"));
        world.machines_boot.set(true);
        sweep(&world).await;
        assert_eq!(live(&world).len(), 1);
    });
}

#[test]
fn deletion_draining_cordons_and_the_hard_deadline_end_it_as_ever() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        let first = live(&world)[0];
        delete_node(&world.p, &world.settings, &who.actor, first, vec![]).await.unwrap();
        world.until_node_gone(&who, first).await;
        fill(&world, &who).await;
        let second = live(&world)[0];
        set_policy(&world.p, &world.settings, &who.actor, second, NodePolicy::Draining, vec![]).await.unwrap();
        world.until_node_gone(&who, second).await;
        fill(&world, &who).await;
        let third = live(&world)[0];
        set_policy(&world.p, &world.settings, &who.actor, third, NodePolicy::Cordoned, vec![]).await.unwrap();
        fill(&world, &who).await;
        assert_eq!(live(&world).len(), 2, "a cordoned one is not for the next workspace");
        world.until_node_gone(&who, third).await;
        assert_eq!(world.node(&who, third).await.failure.as_deref(), Some("idle"));
        let fourth = live(&world)[0];
        let ends: UnixMillis = world.node(&who, fourth).await.hard_deadline_at;
        world.run_until_time(ends - MINUTE).await;
        assert_eq!(world.node(&who, fourth).await.state, NodeState::Ready);
        world.until_node_gone(&who, fourth).await;
        assert_eq!(world.node(&who, fourth).await.failure.as_deref(), Some("lifetime_over"));
        sweep(&world).await;
        assert_eq!(live(&world).len(), 1, "and another stands in its place");
    });
}

#[test]
fn a_pool_goes_with_its_credential_and_does_not_hold_it() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        let caller = world.caller(&who, Role::Member);
        let refused = credentials::delete(&world.p, &caller, who.credential).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::CredentialInUse);
        assert_eq!(pool(&world, &who).await.minimum, 1, "nothing was changed");
        let node = live(&world)[0];
        delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
        world.until_node_gone(&who, node).await;
        credentials::delete(&world.p, &caller, who.credential).await.unwrap();
        assert_eq!(pool(&world, &who).await.minimum, 0);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM warm_pools"), 0);
        assert!(sweep(&world).await.is_empty());
        assert_eq!(ask(&world, &who, of(1)).await.unwrap_err().code, ErrorCode::NoCredential);
    });
}

#[test]
fn what_cannot_be_had_is_refused_and_changes_nothing() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        let (region, size) = (Some("mars".to_owned()), Some("huge".to_owned()));
        for (params, code) in [
            (of(6), ErrorCode::InvalidBody),
            (SetWarmPoolParams { region, ..of(1) }, ErrorCode::NotOffered),
            (SetWarmPoolParams { size, ..of(1) }, ErrorCode::NotOffered),
            (
                SetWarmPoolParams { credential_id: Some(ringfence::ports::Entropy::id(&world.p)), ..of(1) },
                ErrorCode::NotFound,
            ),
        ] {
            assert_eq!(ask(&world, &who, params).await.unwrap_err().code, code);
        }
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM warm_pools"), 0);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM audit WHERE action = 'warm_pool.set'"), 0);
        ask(&world, &who, SetWarmPoolParams { region: Some("hel1".into()), ..of(1) }).await.unwrap();
        fill(&world, &who).await;
        assert_eq!(world.node(&who, live(&world)[0]).await.region, "hel1");
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM audit WHERE action = 'warm_pool.set'"), 1);
        // Another place is another pool: what stands elsewhere is not kept for it.
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        world.run_until_time(world.p.now() + DAY / 4).await;
        assert_eq!(live(&world).len(), 1);
        assert_eq!(world.node(&who, live(&world)[0]).await.region, "fsn1");
    });
}
