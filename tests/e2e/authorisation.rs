//! The authorisation matrix: every route and every upgrade, tried with nothing, with garbage and with every kind of
//! credential in every place where credentials go. What is not the right one is refused, with exactly the answer written
//! here, and leaves no trace (I6, I11).

mod attempts;

use std::fmt::Display;

use anyhow::Result;
use ringfence::domain::mac;
use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::ids::{Id, kind};
use ringfence_protocol::params::SecretText;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::{self, Endpoint, Principal};
use serde_json::{Value, json};

use self::attempts::{Attempt, Belongings, Kind, Place, Standing, attempts, settled};
use crate::support::ledger::Ledger;
use crate::support::request::{Answer, DeviceKey, ProofFor, Raw, http};
use crate::support::stage::Stage;

/// What must come of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refused(ErrorCode),
    /// Anybody may ask this.
    Open,
    /// It is what the route is for.
    Right,
}

#[tokio::test]
async fn every_route_refuses_every_credential_but_its_own_and_without_a_trace() -> Result<()> {
    let stage = Stage::start().await?;
    let (victim, other, outcast) =
        tokio::try_join!(settled(&stage, "victim"), settled(&stage, "other"), settled(&stage, "outcast"),)?;
    let key = DeviceKey::new();
    let attempts = attempts(&stage, &victim, &other, &outcast, &key).await?;
    let matrix = Matrix { stage: &stage, victim: &victim, key: &key, http: http() };

    // A bootstrap token that comes too late is noted, once: let that be done.
    let late = attempts.iter().find(|a| (a.kind, a.standing) == (Kind::Bootstrap, Standing::Expired)).unwrap();
    matrix.try_it(&routes::AGENT_BOOTSTRAP, late).await?;
    let before = Ledger::read(&stage).await?;
    let mut wrong = Vec::new();
    for endpoint in routes::ALL {
        for attempt in &attempts {
            let verdict = verdict(endpoint, attempt);
            if verdict == Verdict::Right {
                continue;
            }
            let answer = matrix.try_it(endpoint, attempt).await?;
            if let Err(seen) = check(verdict, &answer) {
                wrong.push(format!(
                    "{} {} with {} as {:?}: {seen}, not {verdict:?}",
                    endpoint.method.as_str(),
                    endpoint.path,
                    attempt.what,
                    attempt.place
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} attempts went wrong:\n{}", wrong.len(), wrong.join("\n"));

    assert_eq!(Ledger::read(&stage).await?.changes_since(&before), Vec::<String>::new());

    // The credentials were what they were said to be: each opens what it is for.
    matrix.the_right_ones_work(&attempts).await?;
    stage.stop().await
}

#[tokio::test]
async fn others_find_nothing_of_mine_in_their_lists() -> Result<()> {
    let stage = Stage::start().await?;
    let (victim, other) = tokio::try_join!(settled(&stage, "victim"), settled(&stage, "other"))?;
    let token = other.person.client.with_api_token(&secret(&other.api_token.1))?;
    let mine: Vec<String> = vec![
        victim.person.session.to_string(),
        victim.person.user.to_string(),
        victim.api_token.0.to_string(),
        victim.credential.to_string(),
        victim.workspace.to_string(),
        victim.node.to_string(),
    ];
    let lists = routes::ALL.iter().filter(|endpoint| {
        endpoint.method == routes::Method::Get
            && !endpoint.path.contains('{')
            && matches!(endpoint.principal, Principal::User | Principal::Session | Principal::TenantAdmin)
    });
    for endpoint in lists {
        for client in [&other.person.client, &stage.admin.client, &token] {
            let body = client.request(endpoint, &[]).send().await?.text().await?;
            let found: Vec<&String> = mine.iter().filter(|id| body.contains(id.as_str())).collect();
            assert!(found.is_empty(), "{} shows {found:?} to somebody else", endpoint.path);
        }
    }
    let after = format!("{}?after=0", routes::EVENTS.path);
    let events =
        other.person.client.request(&routes::EVENTS, &[]).query(&[("after", "0")]).send().await?.text().await?;
    assert!(events.contains(&other.node.to_string()), "{after} shows one's own");
    assert!(!mine.iter().any(|id| events.contains(id)), "{after} shows another's");
    let filtered = format!("{}", victim.node);
    let request = other.person.client.request(&routes::EVENTS, &[]);
    let events = request.query(&[("after", "0"), ("node_id", &filtered)]).send().await?.text().await?;
    assert!(!events.contains(&victim.workspace.to_string()), "asking for another's node by name shows nothing");
    stage.stop().await
}

struct Matrix<'a> {
    stage: &'a Stage,
    victim: &'a Belongings,
    key: &'a DeviceKey,
    http: reqwest::Client,
}

impl Matrix<'_> {
    async fn try_it(&self, endpoint: &Endpoint, attempt: &Attempt) -> Result<Answer> {
        let (path, mut body) = case(endpoint, self.victim);
        if *endpoint == routes::AUTH_LINK {
            // Its credential is the body.
            body = Some(json!({ "token": attempt.token }));
        }
        let url = format!("{}{path}", self.stage.origin());
        let mut request = Raw::new(endpoint.method.as_str(), &url).header("origin", self.stage.origin());
        let mut offer = endpoint.websocket.then(|| SUBPROTOCOL.to_owned());
        let proof = || {
            let nonce = mac::nonce(self.stage.mint.keyring(), xtask::clock::now());
            let method = endpoint.method.as_str();
            self.key.proof(ProofFor { method, url: url.clone(), token: &attempt.token, nonce: Some(nonce) })
        };
        if attempt.kind != Kind::Nothing {
            request = match attempt.place {
                Place::Cookie => request.cookie(&attempt.token),
                Place::Bearer => request.bearer(&attempt.token),
                Place::BearerWithProof => request.bearer(&attempt.token).header("dpop", proof()),
                Place::DpopWithProof => {
                    request.header("authorization", format!("DPoP {}", attempt.token)).header("dpop", proof())
                }
                Place::Subprotocol => {
                    offer = Some(format!("{SUBPROTOCOL}, {}", attempt.token));
                    request
                }
            };
        }
        request = match (endpoint.websocket, offer) {
            (true, offer) => request.upgrade(offer.as_deref()),
            (false, Some(offer)) => request.header("sec-websocket-protocol", offer),
            (false, None) => request,
        };
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send(&self.http).await
    }

    async fn the_right_ones_work(&self, attempts: &[Attempt]) -> Result<()> {
        for (endpoint, kind, standing, place, status) in [
            (&routes::ME, Kind::Session, Standing::Victims, Place::Cookie, 200),
            (&routes::ME, Kind::ApiToken, Standing::Victims, Place::Bearer, 200),
            (&routes::ME, Kind::Session, Standing::Others, Place::Cookie, 200),
            (&routes::ME, Kind::ApiToken, Standing::Others, Place::Bearer, 200),
            (&routes::TENANT_NODES, Kind::Session, Standing::TenantAdmins, Place::Cookie, 200),
            (&routes::TENANT_USERS, Kind::Session, Standing::Admins, Place::Cookie, 200),
            (&routes::ADMIN_AUDIT, Kind::Session, Standing::Admins, Place::Cookie, 200),
            (&routes::ADMIN_AUDIT, Kind::ApiToken, Standing::Admins, Place::Bearer, 200),
            (&routes::WORKSPACE_SOCKET, Kind::Workspace, Standing::Victims, Place::Subprotocol, 101),
            (&routes::AGENT_TOKEN, Kind::Callback, Standing::Victims, Place::DpopWithProof, 200),
            (&routes::AGENT_BOOTSTRAP, Kind::Bootstrap, Standing::Victims, Place::BearerWithProof, 200),
            (&routes::AUTH_LINK, Kind::SignInLink, Standing::Victims, Place::Cookie, 200),
        ] {
            let fits = |a: &&Attempt| (a.kind, a.standing, a.place) == (kind, standing, place);
            let attempt = attempts.iter().find(fits).unwrap();
            let answer = self.try_it(endpoint, attempt).await?;
            assert_eq!(answer.status.as_u16(), status, "{} as {place:?}: {}", attempt.what, answer.text());
        }
        Ok(())
    }
}

/// The answer that an attempt deserves.
fn verdict(endpoint: &Endpoint, attempt: &Attempt) -> Verdict {
    let own_thing = !endpoint.path.contains('{') || attempt.standing == Standing::Victims;
    let (kind, place) = (attempt.kind, attempt.place);
    match endpoint.principal {
        Principal::Public if *endpoint == routes::AUTH_LINK => {
            if kind == Kind::SignInLink && attempt.stands() {
                return Verdict::Right;
            }
            Verdict::Refused(ErrorCode::LinkInvalid)
        }
        Principal::Public => Verdict::Open,
        Principal::User | Principal::Session | Principal::TenantAdmin | Principal::Admin => {
            let bearer = matches!(place, Place::Bearer | Place::BearerWithProof);
            let signed_in = attempt.stands()
                && ((kind == Kind::Session && place == Place::Cookie) || (kind == Kind::ApiToken && bearer));
            if !signed_in {
                return Verdict::Refused(ErrorCode::Unauthenticated);
            }
            let browser_only = endpoint.principal == Principal::Session || *endpoint == routes::ADMIN_USER_LINK;
            let of_all = attempt.standing == Standing::Admins;
            let (admin_only, admitted) = match endpoint.principal {
                Principal::Admin => (true, of_all),
                Principal::TenantAdmin => (true, of_all || attempt.standing == Standing::TenantAdmins),
                Principal::Public
                | Principal::User
                | Principal::Session
                | Principal::Viewer
                | Principal::Gateway
                | Principal::NewAgent
                | Principal::Agent
                | Principal::Machine => (false, true),
            };
            if (browser_only && kind == Kind::ApiToken) || !admitted {
                return Verdict::Refused(ErrorCode::Forbidden);
            }
            if own_thing || admin_only { Verdict::Right } else { Verdict::Refused(ErrorCode::NotFound) }
        }
        Principal::Viewer => {
            match (attempt.stands() && kind == Kind::Workspace && place == Place::Subprotocol, own_thing) {
                (false, _) => Verdict::Refused(ErrorCode::TokenInvalid),
                (true, true) => Verdict::Right,
                (true, false) => Verdict::Refused(ErrorCode::NotFound),
            }
        }
        // None of these names a dedicated node: e2e::isolation has one that does.
        Principal::Gateway => Verdict::Refused(ErrorCode::TokenInvalid),
        Principal::NewAgent => match (kind, place, attempt.standing) {
            (Kind::Bootstrap, Place::BearerWithProof, Standing::Expired) => {
                Verdict::Refused(ErrorCode::BootstrapExpired)
            }
            (Kind::Bootstrap, Place::BearerWithProof, _) if attempt.stands() => Verdict::Right,
            _ => Verdict::Refused(ErrorCode::TokenInvalid),
        },
        Principal::Machine => match (kind, place, attempt.standing) {
            (Kind::Bootstrap, Place::Bearer | Place::BearerWithProof, Standing::Expired) => {
                Verdict::Refused(ErrorCode::BootstrapExpired)
            }
            (Kind::Bootstrap, Place::Bearer | Place::BearerWithProof, _) if attempt.stands() => Verdict::Right,
            _ => Verdict::Refused(ErrorCode::TokenInvalid),
        },
        Principal::Agent => {
            let right = kind == Kind::Callback && place == Place::DpopWithProof && attempt.stands();
            if right { Verdict::Right } else { Verdict::Refused(ErrorCode::TokenInvalid) }
        }
    }
}

fn check(verdict: Verdict, answer: &Answer) -> std::result::Result<(), String> {
    let fits = match verdict {
        Verdict::Open => answer.status.is_success(),
        Verdict::Refused(code) => {
            let problem = answer.problem();
            answer.status.as_u16() == code.status()
                && matches!(code.status(), 401 | 403 | 404)
                && problem.is_some_and(|problem| problem.code == code && !problem.request_id.is_empty())
        }
        Verdict::Right => true,
    };
    if fits { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
}

/// The path, with the victim's own things in it, and a body that would do something. A route without a case fails here.
fn case(endpoint: &Endpoint, victim: &Belongings) -> (String, Option<Value>) {
    let fill = |id: &dyn Display| endpoint.fill(&[id]);
    let secret = json!({ "secret": "another-key" });
    match endpoint.operation {
        "healthz" | "readyz" | "jwks" | "openapi" | "redeem_sign_in_link" => (endpoint.fill(&[]), None),
        "sign_out"
        | "get_me"
        | "list_sessions"
        | "list_api_tokens"
        | "list_providers"
        | "list_credentials"
        | "list_workspaces"
        | "list_nodes"
        | "list_events"
        | "list_users"
        | "list_audit"
        | "sweep"
        | "get_gateway_node"
        | "get_quota"
        | "list_stuck_nodes"
        | "list_suspended_nodes"
        | "list_budget_alerts"
        | "list_tenant_budget_alerts"
        | "get_usage"
        | "get_warm_pool"
        | "list_tenants"
        | "list_tenant_users"
        | "list_tenant_nodes"
        | "list_tenant_workspaces"
        | "get_tenant_usage" => (endpoint.fill(&[]), None),
        "set_warm_pool" => (endpoint.fill(&[]), Some(json!({ "minimum": 1, "credential_id": victim.credential }))),
        "create_tenant" => (endpoint.fill(&[]), Some(json!({ "name": "theirs" }))),
        "get_limits" => (format!("{}?scope=user&id={}", endpoint.fill(&[]), victim.person.user), None),
        "set_limits" => {
            let body = json!({ "scope": "user", "id": victim.person.user, "limits": { "nodes": 0 } });
            (endpoint.fill(&[]), Some(body))
        }
        "set_user_membership" => {
            let elsewhere = Id::<kind::Tenant>::from_entropy([7; 13]);
            (fill(&victim.person.user), Some(json!({ "tenant_id": elsewhere, "role": "admin" })))
        }
        "revoke_session" => (fill(&victim.person.session), None),
        "create_api_token" => (endpoint.fill(&[]), Some(json!({ "name": "stolen" }))),
        "revoke_api_token" => (fill(&victim.api_token.0), None),
        "create_credential" => (endpoint.fill(&[]), Some(json!({ "provider": "hetzner", "secret": "another-key" }))),
        "get_credential" | "delete_credential" | "validate_credential" | "get_catalog" => {
            (fill(&victim.credential), None)
        }
        "replace_credential" => (fill(&victim.credential), Some(secret)),
        "create_workspace" => (endpoint.fill(&[]), Some(json!({ "credential_id": victim.credential }))),
        "get_workspace"
        | "delete_workspace"
        | "stop_workspace"
        | "start_workspace"
        | "get_workspace_posture"
        | "get_workspace_receipt" => (fill(&victim.workspace), None),
        "keep_workspace_alive" => (fill(&victim.workspace), Some(json!({ "secs": 60 }))),
        "create_workspace_token" => (fill(&victim.workspace), Some(json!({}))),
        "open_terminal" => {
            (format!("{}?viewer={}", fill(&victim.workspace), Id::<kind::Viewer>::from_entropy([7; 13])), None)
        }
        "open_events" => (fill(&victim.workspace), None),
        "get_node_lifecycle" => (fill(&victim.node), None),
        "get_workspace_lifecycle" => (fill(&victim.workspace), None),
        "forget_node" | "forget_node_as_admin" => {
            (fill(&victim.node), Some(json!({ "confirm": victim.node.to_string() })))
        }
        "get_provisioning" | "resume_provisioning" => (endpoint.fill(&[]), None),
        "pause_provisioning" => (endpoint.fill(&[]), Some(json!({ "reason": "mischief" }))),
        "get_node"
        | "delete_node"
        | "delete_node_as_admin"
        | "cordon_node"
        | "uncordon_node"
        | "drain_node"
        | "create_gateway_token"
        | "get_node_posture" => (fill(&victim.node), None),
        "create_user" => (endpoint.fill(&[]), Some(json!({ "name": "intruder", "role": "admin" }))),
        "get_user" | "suspend_user" | "resume_user" | "create_sign_in_link" => (fill(&victim.person.user), None),
        "agent_bootstrap" => (endpoint.fill(&[]), Some(json!({ "protocol_version": 1, "agent_sha256": "" }))),
        "agent_boot_failure" => {
            (endpoint.fill(&[]), Some(json!({ "failure": "agent_fetch_failed", "detail": "made up" })))
        }
        "agent_token" | "agent_link" => (endpoint.fill(&[]), None),
        unknown => panic!("the authorisation matrix has no case for {unknown} ({})", endpoint.path),
    }
}

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}
