//! Where workspaces go (I1).

use proptest::prelude::*;
use ringfence::domain::node::Evidence;
use ringfence::domain::placement::{Candidate, Thresholds, Unfit, Wish, choose, unfit};
use ringfence_protocol::ids::Id;
use ringfence_protocol::state::{EngineChoice, Isolation, NodeHealth, NodePolicy, NodeState, ProviderKind};
use ringfence_protocol::time::UnixMillis;

const LIMITS: Thresholds = Thresholds { cpu_percent: 80.0, memory_percent: 80.0 };

fn wish() -> Wish {
    Wish {
        user_id: Id::from_entropy([1; 13]),
        tenant_id: Id::from_entropy([2; 13]),
        provider: ProviderKind::Hetzner,
        credential_id: Id::from_entropy([3; 13]),
        isolation: Isolation::User,
        region: "fsn1".into(),
        cpus: 2,
        memory_bytes: 4 << 30,
        disk_bytes: 16 << 30,
        engine: EngineChoice::Containers,
        lives_until: UnixMillis::from_secs(2_000),
    }
}

fn candidate(id: u8) -> Candidate {
    let wish = wish();
    Candidate {
        id: Id::from_entropy([id; 13]),
        user_id: wish.user_id,
        tenant_id: wish.tenant_id,
        provider: wish.provider,
        credential_id: wish.credential_id,
        isolation: Isolation::User,
        state: NodeState::Ready,
        policy: NodePolicy::Schedulable,
        health: NodeHealth::Connected,
        region: "fsn1".into(),
        cpus: 2,
        memory_bytes: 4 << 30,
        disk_bytes: Some(40 << 30),
        engine: EngineChoice::Containers,
        evidence: Evidence::Holds,
        price_micros_per_hour: 6_600,
        slots: 3,
        places_taken: 0,
        ends_at: UnixMillis::from_secs(9_000),
        is_unpaid: false,
        cpu_percent: None,
        memory_percent: None,
    }
}

#[test]
fn warm_here_comes_before_busy_before_warm_elsewhere_before_a_new_one() {
    let warm_here = candidate(1);
    let busy = Candidate { places_taken: 2, ..candidate(2) };
    let warm_elsewhere = Candidate { region: "hel1".into(), ..candidate(3) };
    let mut all = vec![warm_elsewhere.clone(), busy.clone(), warm_here.clone()];
    for expected in [Some(warm_here.id), Some(busy.id), Some(warm_elsewhere.id), None] {
        let placement = choose(&wish(), &all, LIMITS);
        assert_eq!(placement.node, expected);
        assert!(!placement.explanation.is_empty());
        all.retain(|candidate| Some(candidate.id) != expected);
    }
}

#[test]
fn each_rule_keeps_a_node_out_by_itself() {
    let fit = candidate(1);
    assert_eq!(unfit(&wish(), &fit, LIMITS), None);
    let cases = [
        (Candidate { user_id: Id::from_entropy([9; 13]), ..fit.clone() }, Unfit::NotYours),
        (Candidate { tenant_id: Id::from_entropy([9; 13]), ..fit.clone() }, Unfit::NotYours),
        (Candidate { credential_id: Id::from_entropy([9; 13]), ..fit.clone() }, Unfit::OtherCloud),
        (Candidate { isolation: Isolation::Dedicated, ..fit.clone() }, Unfit::OtherIsolation),
        (Candidate { state: NodeState::Booting, ..fit.clone() }, Unfit::NotReady),
        (Candidate { policy: NodePolicy::Cordoned, ..fit.clone() }, Unfit::NotSchedulable),
        (Candidate { policy: NodePolicy::Draining, ..fit.clone() }, Unfit::NotSchedulable),
        (Candidate { health: NodeHealth::Disconnected, ..fit.clone() }, Unfit::Unhealthy),
        (Candidate { engine: EngineChoice::Unconfined, ..fit.clone() }, Unfit::OtherEngine),
        (Candidate { evidence: Evidence::Missing, ..fit.clone() }, Unfit::Unproven),
        (Candidate { evidence: Evidence::Broken, ..fit.clone() }, Unfit::Unproven),
        (Candidate { ends_at: UnixMillis::from_secs(1_999), ..fit.clone() }, Unfit::EndsSoon),
        (Candidate { is_unpaid: true, ..fit.clone() }, Unfit::EndsSoon),
        (Candidate { cpus: 1, ..fit.clone() }, Unfit::TooSmall),
        (Candidate { disk_bytes: Some(1), ..fit.clone() }, Unfit::TooSmall),
        (Candidate { memory_bytes: 1, ..fit.clone() }, Unfit::TooSmall),
        (Candidate { places_taken: 3, ..fit.clone() }, Unfit::Full),
        (Candidate { cpu_percent: Some(80.0), ..fit.clone() }, Unfit::Busy),
        (Candidate { memory_percent: Some(99.5), ..fit.clone() }, Unfit::Busy),
    ];
    for (candidate, reason) in cases {
        assert_eq!(unfit(&wish(), &candidate, LIMITS), Some(reason));
        assert_eq!(choose(&wish(), &[candidate], LIMITS).node, None);
    }
    let ephemeral = Wish { isolation: Isolation::Ephemeral, ..wish() };
    let other = Candidate { isolation: Isolation::Ephemeral, ..fit };
    assert_eq!(unfit(&ephemeral, &other, LIMITS), Some(Unfit::SingleUse));
}

#[test]
fn an_explanation_names_your_own_nodes_only() {
    let full = Candidate { places_taken: 3, ..candidate(1) };
    let strangers = Candidate { user_id: Id::from_entropy([9; 13]), ..candidate(2) };
    let placement = choose(&wish(), &[full.clone(), strangers.clone()], LIMITS);
    assert!(placement.explanation.contains(&full.id.to_string()));
    assert!(!placement.explanation.contains(&strangers.id.to_string()));
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (any::<u8>(), 0_u8..3, 0_u8..2, 0_u8..2, 0_u32..5, 0_usize..8, 0_usize..3, 0_usize..3, any::<bool>());
    prop::collection::vec(one, 0..12).prop_map(|rows| {
        rows.into_iter()
            .map(|(id, user, tenant, credential, taken, state, policy, isolation, far)| Candidate {
                user_id: Id::from_entropy([user; 13]),
                tenant_id: Id::from_entropy([2 + tenant; 13]),
                credential_id: Id::from_entropy([3 + credential; 13]),
                places_taken: taken,
                state: NodeState::ALL[state],
                policy: NodePolicy::ALL[policy],
                isolation: Isolation::ALL[isolation],
                region: if far { "hel1" } else { "fsn1" }.into(),
                ..candidate(id)
            })
            .collect()
    })
}

proptest! {
    /// Whatever the nodes, the one that is chosen fits by every rule, and its order in the list does not matter.
    #[test]
    fn the_chosen_node_is_the_users_own_and_fits(mut all in candidates()) {
        let (wish, placement) = (wish(), choose(&wish(), &all, LIMITS));
        match placement.node {
            Some(id) => {
                let chosen = all.iter().any(|one| one.id == id && one.user_id == wish.user_id && unfit(&wish, one, LIMITS).is_none());
                prop_assert!(chosen);
            }
            None => prop_assert!(all.iter().all(|one| unfit(&wish, one, LIMITS).is_some())),
        }
        all.reverse();
        prop_assert_eq!(choose(&wish, &all, LIMITS).node, placement.node);
    }
}
