//! What the query for nodes that might take a workspace reads does not grow with the nodes of others (DESIGN: budgets).

use std::time::{Duration, Instant};

use ringfence::store::nodes;
use ringfence_protocol::state::Isolation;

use crate::support::sqlite::SqliteDb;
use crate::support::world::{World, run};

/// A hundred thousand nodes of a thousand others, each with that other's own credential.
fn crowd(world: &World) {
    let (tenant, sql) = (world.tenant, "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 <");
    world
        .p
        .db
        .execute(&format!(
            "INSERT INTO users (id, tenant_id, name, role, state, created_at_ms, row_version)
               {sql} 1000) SELECT 'u' || i, '{tenant}', 'u' || i, 'member', 'active', 0, 1 FROM n;
             INSERT INTO provider_credentials
               (id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, row_version)
               {sql} 1000) SELECT 'c' || i, 'u' || i, 'hetzner', 'cloud', 'sealed', 1, 0, 1 FROM n;
             INSERT INTO nodes (id, user_id, tenant_id, row_version, created_at_ms, installation, provider, credential_id,
               isolation, region, size, cpus, memory_bytes, image, price_micros_per_hour, currency, slots,
               hard_deadline_at_ms, policy, state, state_since_ms, agent_epoch)
               {sql} 100000) SELECT 'n' || i, 'u' || (i % 1000), '{tenant}', 1, 0, 'test', 'hetzner', 'c' || (i % 1000), 'user',
                 'fsn1', 'cx23', 2, 4294967296, 'image', 6600, 'EUR', 3, 9e12, 'schedulable', 'ready', 0, 1 FROM n;
             ANALYZE;"
        ))
        .unwrap();
}

fn steps(db: &SqliteDb, sql: &str) -> Vec<String> {
    let plan = db.plan(sql);
    db.execute("PRAGMA foreign_keys = ON").unwrap();
    plan
}

#[test]
fn placement_reads_the_users_own_nodes_however_many_others_have() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let statement = nodes::candidates(who.actor.user_id, who.credential, Isolation::User);
        let read = || {
            let began = Instant::now();
            for _ in 0..200 {
                let rows = world.p.db.rows(&statement);
                assert_eq!(rows, 1, "only one's own");
            }
            began.elapsed()
        };
        let alone = read();
        crowd(&world);
        let plan = steps(&world.p.db, statement.sql);
        assert!(
            plan.iter().any(|step| step.contains("USING INDEX nodes_ready_by_user (user_id=? AND credential_id=?)")),
            "{plan:?}"
        );
        assert!(plan.iter().all(|step| !step.starts_with("SCAN n")), "{plan:?}");
        // A scan of what is there now takes some ten thousand times as long; a busy computer does not.
        let crowded = read();
        assert!(crowded < alone * 50 + Duration::from_secs(1), "{alone:?} alone, {crowded:?} in a crowd of 100,000");

        let second = world.create(&who).await.unwrap();
        assert_eq!(second.node.id, created.node.id, "placed beside the first, as if nobody else were there");
    });
}
