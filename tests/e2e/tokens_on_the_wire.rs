//! What goes with a token: proof of possession, the page it comes from, the subprotocol. A token alone is not enough.

use std::time::Duration;

use anyhow::Result;
use ringfence::domain::mac;
use ringfence_protocol::ids::ViewerId;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::{self, Endpoint, Method, Principal};
use serde_json::json;
use xtask::client::Client;

use crate::support::ledger::Ledger;
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

#[tokio::test]
async fn a_proof_opens_one_link() -> Result<()> {
    let stage = Stage::start().await?;
    let owner = stage.member("owner").await?;
    let node = owner.running_workspace(stage.cloud_key()).await?.1.node.id;
    let key = DeviceKey::new();
    let token = stage.mint.sign(mint::callback(node, stage.agent_epoch(node).await?, &key.jkt()));
    let url = format!("{}{}", stage.origin(), routes::AGENT_LINK.path);
    let open = async |proof: &str| {
        let request = Raw::get(&url).header("authorization", format!("DPoP {token}")).header("dpop", proof);
        request.upgrade(None).send(&http()).await
    };
    let proof = || {
        let nonce = Some(mac::nonce(stage.mint.keyring(), xtask::clock::now()));
        key.proof(ProofFor { method: "GET", url: url.clone(), token: &token, nonce })
    };
    let used = proof();
    assert_eq!(open(&used).await?.status.as_u16(), 101);
    let answer = open(&used).await?;
    let seen = (answer.status.as_u16(), answer.code());
    assert_eq!(seen, (401, Some(ErrorCode::TokenInvalid)), "whoever listened in opens nothing with it");
    assert_eq!(open(&proof()).await?.status.as_u16(), 101);
    stage.stop().await
}

#[tokio::test]
async fn a_change_with_a_cookie_needs_exactly_our_origin() -> Result<()> {
    let stage = Stage::start().await?;
    let (admin, http) = (&stage.admin, http());
    let link = stage.stack.sign_in_link(admin.user).await?;
    let link_token = link.rsplit_once("#token=").unwrap().1;
    let before = Ledger::read(&stage).await?;
    for endpoint in changing_routes() {
        let url = format!("{}{}", stage.origin(), endpoint.fill(&[&"anything"]));
        for (what, origins) in foreign_origins(&stage.origin()) {
            let request = Raw::new(endpoint.method.as_str(), &url).cookie(&admin.cookie).headers(&origins);
            let is_link = endpoint.principal == Principal::Public;
            let request = if is_link { request.json(&json!({ "token": link_token })) } else { request };
            let answer = request.send(&http).await?;
            let seen = (answer.status.as_u16(), answer.code());
            assert_eq!(seen, (403, Some(ErrorCode::CrossOrigin)), "{} with {what}", endpoint.path);
            assert!(answer.headers.get("set-cookie").is_none());
        }
    }
    assert_eq!(Ledger::read(&stage).await?.changes_since(&before), Vec::<String>::new());
    // The link was good all along.
    Client::sign_in(stage.origin(), &link).await?;
    stage.stop().await
}

#[tokio::test]
async fn an_api_token_needs_no_origin_and_takes_no_foreign_one() -> Result<()> {
    let stage = Stage::start().await?;
    let (token, http) = (stage.admin.api_token("t").await?.secret, http());
    for endpoint in changing_routes().filter(|endpoint| endpoint.principal == Principal::User) {
        let url = format!("{}{}", stage.origin(), endpoint.fill(&[&"anything"]));
        // What follows authentication refuses these: no such thing, or not such a body.
        let request = || {
            let unknown_field = json!({ "unknown": 1 });
            Raw::new(endpoint.method.as_str(), &url).bearer(token.expose()).json(&unknown_field)
        };
        let answer = request().send(&http).await?;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{}: {}", endpoint.path, answer.text());
        // An empty header is as good as none.
        let named = |(_, origins): &(_, Vec<(String, String)>)| origins.iter().any(|(_, value)| !value.is_empty());
        for (what, origins) in foreign_origins(&stage.origin()).into_iter().filter(named) {
            let answer = request().headers(&origins).send(&http).await?;
            assert_eq!(answer.code(), Some(ErrorCode::CrossOrigin), "{} with {what}", endpoint.path);
        }
    }
    stage.stop().await
}

#[tokio::test]
async fn another_site_reads_nothing() -> Result<()> {
    let stage = Stage::start().await?;
    let http = http();
    for method in ["GET", "OPTIONS"] {
        let url = format!("{}{}", stage.origin(), routes::ME.path);
        let request = Raw::new(method, url).cookie(&stage.admin.cookie).header("origin", "https://evil.example");
        let answer = request.header("access-control-request-method", "GET").send(&http).await?;
        let allowed = answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
        assert!(!allowed, "{method} lets another site in: {:?}", answer.headers);
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    }
    stage.stop().await
}

#[tokio::test]
async fn a_socket_opens_only_from_our_origin_with_a_token_as_its_subprotocol() -> Result<()> {
    let stage = Stage::start().await?;
    let http = http();
    let victim = stage.member("victim").await?;
    let workspace = victim.running_workspace(stage.cloud_key()).await?.1.id;
    let token = victim.client.workspace_token(workspace, None).await?.expose().to_owned();
    let good_offer = format!("ringfence.v1, {token}");
    let viewer: ViewerId = mint::random_id();
    for endpoint in [&routes::WORKSPACE_TERMINAL, &routes::WORKSPACE_SOCKET] {
        let path = endpoint.fill(&[&workspace]);
        let query = if *endpoint == routes::WORKSPACE_TERMINAL { format!("?viewer={viewer}") } else { String::new() };
        let url = format!("{}{path}{query}", stage.origin());
        for (what, origins) in foreign_origins(&stage.origin()) {
            let request = Raw::get(&url).headers(&origins).cookie(&victim.cookie).upgrade(Some(&good_offer));
            let answer = request.send(&http).await?;
            let seen = (answer.status.as_u16(), answer.code());
            assert_eq!(seen, (403, Some(ErrorCode::CrossOrigin)), "{path} with {what}");
        }
        let ours = || Raw::get(&url).header("origin", stage.origin());
        let no_token = [
            ("a cookie alone", ours().cookie(&victim.cookie).upgrade(None)),
            ("a cookie and no token", ours().cookie(&victim.cookie).upgrade(Some("ringfence.v1"))),
            ("the token as a cookie", ours().cookie(&token).upgrade(Some("ringfence.v1"))),
            ("the token as a bearer", ours().bearer(&token).upgrade(Some("ringfence.v1"))),
            ("the token alone", ours().upgrade(Some(&token))),
            ("the token first", ours().upgrade(Some(&format!("{token}, ringfence.v1")))),
            ("two tokens", ours().upgrade(Some(&format!("{good_offer}, {token}")))),
            ("another protocol", ours().upgrade(Some(&format!("ringfence.v2, {token}")))),
        ];
        for (what, request) in no_token {
            let answer = request.send(&http).await?;
            let seen = (answer.status.as_u16(), answer.code());
            assert_eq!(seen, (401, Some(ErrorCode::TokenInvalid)), "{path} with {what}");
        }
        let plain = ours().header("sec-websocket-protocol", &good_offer).send(&http).await?;
        assert_eq!(plain.code(), Some(ErrorCode::UpgradeRequired), "{path} without an upgrade");

        let answer = ours().upgrade(Some(&good_offer)).send(&http).await?;
        assert_eq!(answer.status.as_u16(), 101, "{path}: {}", answer.text());
        assert_eq!(answer.header("sec-websocket-protocol"), "ringfence.v1");
        assert!(!format!("{:?}", answer.headers).contains(&token), "the token is not echoed");
    }
    let in_the_url = format!("{}{}?token={token}", stage.origin(), routes::WORKSPACE_SOCKET.fill(&[&workspace]));
    let request = Raw::get(in_the_url).header("origin", stage.origin()).upgrade(Some("ringfence.v1"));
    assert_eq!(request.send(&http).await?.status.as_u16(), 401, "a token in the URL opens nothing");
    stage.stop().await
}

/// Every route that changes something for people: with a cookie, or, for the sign-in link, before there is one.
fn changing_routes() -> impl Iterator<Item = &'static Endpoint> {
    routes::ALL.iter().copied().filter(|endpoint| match endpoint.principal {
        Principal::User | Principal::Session | Principal::TenantAdmin | Principal::Admin | Principal::Public => {
            endpoint.method != Method::Get
        }
        Principal::Viewer | Principal::Gateway | Principal::NewAgent | Principal::Agent | Principal::Machine => false,
    })
}

/// Origin headers that are not ours, each more alike than the last.
fn foreign_origins(ours: &str) -> Vec<(&'static str, Vec<(String, String)>)> {
    let (scheme, host) = ours.split_once("://").unwrap();
    let (name, port) = host.split_once(':').unwrap();
    let next_port = port.parse::<u16>().unwrap().wrapping_add(1);
    let one = |value: String| vec![("origin".to_owned(), value)];
    vec![
        ("no origin", Vec::new()),
        ("an empty origin", one(String::new())),
        ("the null origin", one("null".into())),
        ("another site", one("https://evil.example".into())),
        ("another port", one(format!("{scheme}://{name}:{next_port}"))),
        ("another scheme", one(format!("https://{host}"))),
        ("a sibling of the same site", one(format!("{scheme}://evil.{host}"))),
        ("ours as a prefix", one(format!("{ours}.evil.example"))),
        ("ours with a slash", one(format!("{ours}/"))),
        ("ours in upper case", one(ours.to_uppercase())),
        ("ours and another in one", one(format!("{ours}, https://evil.example"))),
        ("ours and another", [one(ours.to_owned()), one("https://evil.example".into())].concat()),
        ("ours twice", [one(ours.to_owned()), one(ours.to_owned())].concat()),
    ]
}
