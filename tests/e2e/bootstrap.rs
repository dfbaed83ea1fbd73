//! Trading a bootstrap token: once, for one key (I3). A second key means that user-data has leaked.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use ringfence::domain::mac;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::CallbackGrant;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::NodeState;
use serde_json::json;
use xtask::client::until;
use xtask::clock;

use crate::support::mint;
use crate::support::people::Person;
use crate::support::request::{Answer, DeviceKey, ProofFor, Raw, http};
use crate::support::stage::{LIMIT, Stage};

const MANY: usize = 100;

#[tokio::test]
async fn of_a_hundred_keys_one_wins_and_the_node_is_quarantined() -> Result<()> {
    let stage = Stage::start().await?;
    let (owner, node) = node_of(&stage, "owner").await?;
    let claims = mint::bootstrap(&stage.stack, node).await?;
    let token = stage.mint.sign(claims.clone());
    let keys: Vec<DeviceKey> = (0..MANY).map(|_| DeviceKey::new()).collect();
    let http = http();
    let answers = try_join_all(keys.iter().map(|key| redeem(&stage, &http, &token, key))).await?;

    let winners: Vec<usize> = (0..MANY).filter(|place| answers[*place].status == 200).collect();
    assert_eq!(winners.len(), 1, "{:?}", tally(&answers));
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        // Those that come when the node is quarantined already find nothing to redeem for.
        let code = answer.code();
        assert!(matches!(code, Some(ErrorCode::BootstrapKeyConflict | ErrorCode::TokenInvalid)), "{}", answer.text());
    }
    assert!(answers.iter().any(|answer| answer.code() == Some(ErrorCode::BootstrapKeyConflict)));
    let bound = stage.text("SELECT public_key_jkt FROM bootstrap_tokens WHERE jti = ?1", &[json!(claims.jti)]).await?;
    assert_eq!(bound, keys[winners[0]].jkt(), "the row holds the winner's key");
    owner.client.node_in(node, NodeState::Quarantined).await?;
    let grant: CallbackGrant = serde_json::from_slice(&answers[winners[0]].body)?;
    let answer = renew(&stage, &http, &grant.token, &keys[winners[0]]).await?;
    assert_eq!(answer.code(), Some(ErrorCode::TokenInvalid), "nobody is trusted any more, not even who came first");
    stage.stop().await
}

#[tokio::test]
async fn a_hundred_repeats_with_one_key_get_one_answer() -> Result<()> {
    let stage = Stage::start().await?;
    let (owner, node) = node_of(&stage, "owner").await?;
    let token = stage.mint.sign(mint::bootstrap(&stage.stack, node).await?);
    let key = DeviceKey::new();
    let http = http();
    let answers = try_join_all((0..MANY).map(|_| redeem(&stage, &http, &token, &key))).await?;
    let mut grants = Vec::new();
    for answer in &answers {
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        let mut grant: serde_json::Value = serde_json::from_slice(&answer.body)?;
        // The clock goes on, and a machine that asks must learn the time as it is.
        grant.as_object_mut().unwrap().remove("now").unwrap();
        grants.push(grant.to_string());
    }
    grants.dedup();
    assert_eq!(grants.len(), 1, "every answer is the first one's, byte for byte, but for the time of day");
    assert_eq!(stage.audited_on("bootstrap.redeem", &node.to_string()).await?, 2, "the machine's own and this one");
    assert_eq!(stage.audited("bootstrap.key_conflict").await?, 0);
    assert_eq!(owner.client.node(node).await?.state, NodeState::Ready);
    let grant: CallbackGrant = serde_json::from_slice(&answers[0].body)?;
    assert_eq!(renew(&stage, &http, &grant.token, &key).await?.status.as_u16(), 200);
    stage.stop().await
}

#[tokio::test]
async fn another_key_costs_the_node_everything_it_was_trusted_with() -> Result<()> {
    let stage = Stage::start().await?;
    let owner = stage.member("owner").await?;
    let workspace = owner.running_workspace(stage.cloud_key()).await?.1;
    let node = workspace.node.id;
    let mut terminal = owner.client.open_terminal(workspace.id).await?;
    let token = stage.mint.sign(mint::bootstrap(&stage.stack, node).await?);
    let (machine, thief) = (DeviceKey::new(), DeviceKey::new());
    let http = http();
    let grant: CallbackGrant = serde_json::from_slice(&redeem(&stage, &http, &token, &machine).await?.body)?;
    assert_eq!(renew(&stage, &http, &grant.token, &machine).await?.status.as_u16(), 200);
    let epoch = stage.agent_epoch(node).await?;

    let answer = redeem(&stage, &http, &token, &thief).await?;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, Some(ErrorCode::BootstrapKeyConflict)));

    owner.client.node_in(node, NodeState::Quarantined).await?;
    assert_eq!(stage.audited_on("bootstrap.key_conflict", &node.to_string()).await?, 1);
    let noted = stage.text("SELECT detail FROM audit WHERE action = 'bootstrap.key_conflict'", &[]).await?;
    assert_eq!(noted, thief.jkt(), "the second key is on record");
    terminal.wait_for_close(LIMIT).await?;
    stage.link_is(node, false).await?;
    assert!(stage.agent_epoch(node).await? > epoch);
    let answer = renew(&stage, &http, &grant.token, &machine).await?;
    assert_eq!((answer.status.as_u16(), answer.code()), (401, Some(ErrorCode::TokenInvalid)));
    for key in [&machine, &thief] {
        let answer = redeem(&stage, &http, &token, key).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, Some(ErrorCode::TokenInvalid)), "no way back in");
    }
    assert!(owner.client.open_terminal(workspace.id).await.is_err());
    // Its owner can still be rid of it.
    owner.client.delete_node(node).await?;
    owner.client.node_in(node, NodeState::Gone).await?;
    until("the cloud to be empty", LIMIT, async || Ok(stage.stack.cloud_servers().await? == 0)).await?;
    stage.stop().await
}

#[tokio::test]
async fn a_token_that_comes_too_late_is_noted_once_and_harms_nothing() -> Result<()> {
    let stage = Stage::start().await?;
    let (owner, node) = node_of(&stage, "owner").await?;
    let claims = mint::bootstrap(&stage.stack, node).await?;
    let token = stage.mint.sign_expired(claims);
    let before = owner.client.node(node).await?;
    // However often it comes.
    for _ in 0..3 {
        let answer = redeem(&stage, &http(), &token, &DeviceKey::new()).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, Some(ErrorCode::BootstrapExpired)));
    }
    assert_eq!(stage.audited_on("bootstrap.expired", &node.to_string()).await?, 1);
    let after = owner.client.node(node).await?;
    assert_eq!((after.state, after.row_version), (before.state, before.row_version));
    stage.link_is(node, true).await?;
    stage.stop().await
}

#[tokio::test]
async fn a_token_is_traded_only_with_a_fresh_proof_for_just_that() -> Result<()> {
    let stage = Stage::start().await?;
    let (_, node) = node_of(&stage, "owner").await?;
    let claims = mint::bootstrap(&stage.stack, node).await?;
    let token = stage.mint.sign(claims.clone());
    let key = DeviceKey::new();
    let http = http();
    let url = format!("{}{}", stage.origin(), routes::AGENT_BOOTSTRAP.path);
    let stale = mac::nonce(stage.mint.keyring(), clock::now() - mac::NONCE_LIFETIME - Duration::from_secs(1));
    let good = proof_for(&stage, &url, &token);
    let renewal = format!("{}{}", stage.origin(), routes::AGENT_TOKEN.path);
    let refused = [
        ("no nonce", ProofFor { nonce: None, ..good.clone() }, ErrorCode::UseDpopNonce),
        ("a stale nonce", ProofFor { nonce: Some(stale), ..good.clone() }, ErrorCode::UseDpopNonce),
        ("a proof for another path", ProofFor { url: renewal, ..good.clone() }, ErrorCode::TokenInvalid),
        ("a proof for another method", ProofFor { method: "GET", ..good.clone() }, ErrorCode::TokenInvalid),
        ("a proof for another token", ProofFor { token: "another", ..good.clone() }, ErrorCode::TokenInvalid),
    ];
    let mut offered = String::new();
    for (what, asked, code) in refused {
        let answer = ask(&url, "Bearer", &token, &key.proof(asked), &http).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, Some(code)), "{what}");
        offered = answer.header("dpop-nonce").to_owned();
        assert!(!offered.is_empty(), "{what}: the answer offers a nonce");
    }
    let unused = "SELECT count(*) FROM bootstrap_tokens WHERE jti = ?1 AND consumed_at_ms IS NULL";
    assert_eq!(stage.count(unused, &[json!(claims.jti)]).await?, 1, "none of these used it up");
    let proof = key.proof(ProofFor { nonce: Some(offered), ..good });
    assert_eq!(ask(&url, "Bearer", &token, &proof, &http).await?.status.as_u16(), 200, "the offered nonce is good");
    stage.stop().await
}

async fn node_of(stage: &Stage, name: &str) -> Result<(Person, NodeId)> {
    let owner = stage.member(name).await?;
    let node = owner.running_workspace(stage.cloud_key()).await?.1.node.id;
    Ok((owner, node))
}

async fn redeem(stage: &Stage, http: &reqwest::Client, token: &str, key: &DeviceKey) -> Result<Answer> {
    let url = format!("{}{}", stage.origin(), routes::AGENT_BOOTSTRAP.path);
    ask(&url, "Bearer", token, &key.proof(proof_for(stage, &url, token)), http).await
}

async fn renew(stage: &Stage, http: &reqwest::Client, token: &str, key: &DeviceKey) -> Result<Answer> {
    let url = format!("{}{}", stage.origin(), routes::AGENT_TOKEN.path);
    ask(&url, "DPoP", token, &key.proof(proof_for(stage, &url, token)), http).await
}

async fn ask(url: &str, scheme: &str, token: &str, proof: &str, http: &reqwest::Client) -> Result<Answer> {
    let body = json!({ "protocol_version": 1, "agent_sha256": "0" });
    let request = Raw::post(url).header("authorization", format!("{scheme} {token}")).header("dpop", proof);
    request.json(&body).send(http).await
}

fn proof_for<'a>(stage: &Stage, url: &str, token: &'a str) -> ProofFor<'a> {
    let nonce = mac::nonce(stage.mint.keyring(), clock::now());
    ProofFor { method: "POST", url: url.to_owned(), token, nonce: Some(nonce) }
}

fn tally(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut tally = BTreeMap::new();
    for answer in answers {
        *tally.entry(answer.status.as_u16()).or_default() += 1;
    }
    tally
}
