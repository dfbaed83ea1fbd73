//! What goes with a token: proof of possession, the page it comes from, the subprotocol. A token alone is not enough.

use std::time::Duration;

use anyhow::Result;
use ringfence::domain::mac;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;

use crate::support::mint::{self, Mint};
use crate::support::request::{DeviceKey, ProofFor, Raw, http};
use crate::support::stage::Stage;

#[tokio::test]
async fn an_agent_proves_its_key_for_this_request_and_this_token_with_a_fresh_nonce() -> Result<()> {
    let stage = Stage::start().await?;
    let victim = stage.member("victim").await?;
    let node = victim.running_workspace(stage.cloud_key()).await?.1.node.id;
    let (key, thief) = (DeviceKey::new(), DeviceKey::new());
    let epoch = stage.agent_epoch(node).await?;
    let token = stage.mint.sign(mint::callback(node, epoch, &key.jkt()));
    let another_token = stage.mint.sign(mint::callback(node, epoch, &thief.jkt()));
    let url = format!("{}{}", stage.origin(), routes::AGENT_TOKEN.path);
    let nonce = mac::nonce(stage.mint.keyring(), xtask::clock::now());
    let stale = mac::nonce(stage.mint.keyring(), xtask::clock::now() - Duration::from_secs(301));
    let foreign = mac::nonce(Mint::forger(&stage.stack).keyring(), xtask::clock::now());
    let good = ProofFor { method: "POST", url: url.clone(), token: &token, nonce: Some(nonce.clone()) };
    let with = |proof: String| Raw::post(&url).header("authorization", format!("DPoP {token}")).header("dpop", proof);
    let http = http();
    let link = format!("{}{}", stage.origin(), routes::AGENT_LINK.path);
    let elsewhere = format!("http://ringfence.example{}", routes::AGENT_TOKEN.path);
    let refused = [
        ("no proof", Raw::post(&url).header("authorization", format!("DPoP {token}")), ErrorCode::TokenInvalid),
        ("a proof that is none", with("garbage".into()), ErrorCode::TokenInvalid),
        ("another key's proof", with(thief.proof(good.clone())), ErrorCode::TokenInvalid),
        ("two proofs", with(key.proof(good.clone())).header("dpop", key.proof(good.clone())), ErrorCode::TokenInvalid),
        ("a proof for another path", with(key.proof(ProofFor { url: link, ..good.clone() })), ErrorCode::TokenInvalid),
        (
            "a proof for another site",
            with(key.proof(ProofFor { url: elsewhere, ..good.clone() })),
            ErrorCode::TokenInvalid,
        ),
        (
            "a proof for another method",
            with(key.proof(ProofFor { method: "GET", ..good.clone() })),
            ErrorCode::TokenInvalid,
        ),
        (
            "a proof for another token",
            with(key.proof(ProofFor { token: &another_token, ..good.clone() })),
            ErrorCode::TokenInvalid,
        ),
        ("a proof of another type", with(key.proof_of_type("jwt", good.clone())), ErrorCode::TokenInvalid),
        ("a proof without a nonce", with(key.proof(ProofFor { nonce: None, ..good.clone() })), ErrorCode::UseDpopNonce),
        ("a stale nonce", with(key.proof(ProofFor { nonce: Some(stale), ..good.clone() })), ErrorCode::UseDpopNonce),
        (
            "a nonce of somebody else",
            with(key.proof(ProofFor { nonce: Some(foreign), ..good.clone() })),
            ErrorCode::UseDpopNonce,
        ),
    ];
    for (what, request, code) in refused {
        let answer = request.send(&http).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, Some(code)), "{what}");
        let offered = answer.header("dpop-nonce");
        assert!(mac::nonce_is_fresh(stage.mint.keyring(), offered, xtask::clock::now()), "{what}: no nonce is offered");
    }
    assert_eq!(with(key.proof(good)).send(&http).await?.status.as_u16(), 200);
    stage.stop().await
}
