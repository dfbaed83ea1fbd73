//! An agent's credentials, by the use cases themselves: one key redeems, and a raised epoch ends what was granted (I3, I6).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ed25519_dalek::SigningKey;
use futures_util::future::join_all;
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt, Claims, Header};
use ringfence::app::agent_report::key_conflict;
use ringfence::app::bootstrap::{Presented, Redeemed, authenticate, redeem};
use ringfence::app::caller::Source;
use ringfence::config::Config;
use ringfence::domain::proof::token_hash;
use ringfence::domain::{mac, token};
use ringfence::error::Result;
use ringfence::ports::{Clock, Db, Entropy};
use ringfence::store::bootstrap;
use ringfence_protocol::claims::{BootstrapClaims, Jwk, ProofClaims};
use ringfence_protocol::ids::{JwtId, NodeId};
use ringfence_protocol::problem::ErrorCode;

use crate::support::keys::{ORIGIN, config};
use crate::support::world::{World, run};

#[derive(serde::Serialize)]
struct ProofFields {
    jwk: Jwk,
}

/// A booting machine's world.
struct Scene {
    world: World,
    config: Config,
    node: NodeId,
    jti: JwtId,
    token: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let (config, node, jti) = (config(&[]).unwrap(), created.node.id, world.p.id());
        let claims = BootstrapClaims { jti, node };
        let (token, expires_at) = token::sign(&config.keyring, ORIGIN, claims, world.p.now()).unwrap();
        world.p.batch(vec![bootstrap::insert(jti, node, expires_at)]).await.unwrap();
        Self { world, config, node, jti, token }
    }

    fn proof(&self, key: u8, path: &str, token: &str) -> String {
        let signing = SigningKey::from_bytes(&[key; 32]);
        let claims = ProofClaims {
            jti: "1".into(),
            htm: "POST".into(),
            htu: format!("{ORIGIN}{path}"),
            nonce: Some(mac::nonce(&self.config.keyring, self.world.p.now())),
            ath: token_hash(token),
        };
        let jwk = Jwk::ed25519(B64.encode(signing.verifying_key().as_bytes()), None);
        let header = Header::new(ProofFields { jwk }).with_token_type("dpop+jwt");
        Ed25519.token(&header, &Claims::new(&claims), &signing).unwrap()
    }

    async fn redeem(&self, key: u8) -> Result<Redeemed> {
        // Where the provider says that its machine is.
        self.redeem_from(key, "192.0.2.7").await
    }

    async fn redeem_from(&self, key: u8, address: &str) -> Result<Redeemed> {
        let (path, source) = ("/agent/bootstrap", Source { address: address.into(), ..Source::default() });
        let proof = self.proof(key, path, &self.token);
        let presented = Presented { method: "POST", path, token: &self.token, proof: &proof, source: &source };
        redeem(&self.world.p, &self.config, &presented).await
    }

    /// Whether a callback token opens something.
    async fn opens(&self, key: u8, token: &str) -> bool {
        let (path, source) = ("/agent/token", Source::default());
        let proof = self.proof(key, path, token);
        let presented = Presented { method: "POST", path, token, proof: &proof, source: &source };
        authenticate(&self.world.p, &self.config, &presented).await.is_ok()
    }
}

#[test]
fn of_many_keys_with_one_token_one_wins_and_its_repeat_gets_the_same() {
    run(async {
        let scene = Scene::new().await;
        let all = join_all((1..=12).map(|key| scene.redeem(key))).await;
        let granted: Vec<(u8, String)> = (1..)
            .zip(all)
            .filter_map(|(key, redeemed)| match redeemed.unwrap() {
                Redeemed::Granted(grant) => Some((key, grant.token)),
                Redeemed::KeyConflict(node) => {
                    assert_eq!(node, scene.node);
                    None
                }
            })
            .collect();
        let [(winner, token)] = &granted[..] else { panic!("{} were granted", granted.len()) };
        scene.world.p.now.set(scene.world.p.now() + Duration::from_secs(30));
        let Redeemed::Granted(again) = scene.redeem(*winner).await.unwrap() else { panic!("the winner is refused") };
        assert_eq!(again.token, *token, "an answer can be lost");
        assert!(scene.opens(*winner, token).await);
        assert!(!scene.opens(winner % 12 + 1, token).await, "a stolen token is worth nothing");
    });
}

#[test]
fn a_token_that_left_its_machine_is_traded_nowhere_else() {
    run(async {
        let scene = Scene::new().await;
        for elsewhere in ["192.0.2.8", "2001:db8::7"] {
            let refused = scene.redeem_from(2, elsewhere).await.err().map(|error| error.code);
            assert_eq!(refused, Some(ErrorCode::TokenInvalid), "from {elsewhere}");
        }
        // Nor has it cost its machine anything.
        assert!(matches!(scene.redeem(1).await, Ok(Redeemed::Granted(_))));
    });
}

#[test]
fn a_raised_epoch_ends_what_was_granted() {
    run(async {
        let scene = Scene::new().await;
        let Redeemed::Granted(grant) = scene.redeem(1).await.unwrap() else { panic!("refused") };
        assert!(scene.opens(1, &grant.token).await);
        let sql = format!("UPDATE nodes SET agent_epoch = agent_epoch + 1 WHERE id = '{}'", scene.node);
        scene.world.p.db.execute(&sql).unwrap();
        assert!(!scene.opens(1, &grant.token).await, "it is still ready, and still not trusted");
    });
}

#[test]
fn a_node_that_ends_takes_no_agent() {
    run(async {
        let scene = Scene::new().await;
        let Redeemed::Granted(grant) = scene.redeem(1).await.unwrap() else { panic!("refused") };
        key_conflict(&scene.world.p, &scene.world.settings, scene.node).await.unwrap();
        assert!(!scene.opens(1, &grant.token).await);
        assert_eq!(scene.redeem(1).await.err().map(|error| error.code), Some(ErrorCode::TokenInvalid));
    });
}

#[test]
fn an_old_token_is_traded_by_nobody_whoever_asks_the_database() {
    run(async {
        let scene = Scene::new().await;
        let (p, jti, node) = (&scene.world.p, scene.jti, scene.node);
        let trade = |node, now| bootstrap::consume(jti, node, "key", "x", now);
        let later = p.now() + Duration::from_secs(900);
        assert_eq!(p.db.changes(&trade(node, later)).unwrap(), 0, "at its end");
        assert_eq!(p.db.changes(&trade(p.id(), p.now())).unwrap(), 0, "for another node");
        assert_eq!(p.db.changes(&trade(node, p.now())).unwrap(), 1);
        assert_eq!(p.db.changes(&trade(node, p.now())).unwrap(), 0, "once");
        p.now.set(later);
        assert_eq!(scene.redeem(1).await.err().map(|error| error.code), Some(ErrorCode::BootstrapExpired));
    });
}
