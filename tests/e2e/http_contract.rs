//! What every answer has, what every request must keep to, and what a repeated request gets.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use ringfence_protocol::ids::{CredentialId, WorkspaceId};
use ringfence_protocol::problem::{ErrorCode, PROBLEM_CONTENT_TYPE};
use ringfence_protocol::routes::{self, Endpoint, Method, Principal};
use ringfence_protocol::state::WorkspaceState;
use ringfence_protocol::views::{CredentialView, Page, ReadyView, SessionView, UserView, WorkspaceView};
use serde_json::{Value, json};
use xtask::client::{Client, Refused};
use xtask::project;

use crate::support::people::Person;
use crate::support::request::{Answer, Raw, http};
use crate::support::stage::Stage;

/// Largest body that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;

#[tokio::test]
async fn every_route_is_served() -> Result<()> {
    let stage = Stage::start().await?;
    for endpoint in routes::ALL {
        let answer = signed_in(&stage, endpoint, &stage.admin).send(&http()).await?;
        assert!(!is_fallback(&answer), "{} {} is not served", endpoint.method.as_str(), endpoint.path);
        assert_ne!(answer.status.as_u16(), 405, "{} {}", endpoint.method.as_str(), endpoint.path);
        assert!(answer.status.as_u16() < 500, "{} {}: {}", endpoint.method.as_str(), endpoint.path, answer.text());
    }
    let nothing = Raw::get(format!("{}/api/nothing-here", stage.origin())).send(&http()).await?;
    assert!(is_fallback(&nothing), "an unknown path under /api is not the page of the browser UI");
    stage.stop().await
}

#[tokio::test]
async fn an_agent_that_is_published_is_served_and_nothing_in_the_place_of_another() -> Result<()> {
    let stage = Stage::start().await?;
    let published = std::fs::read_dir(project::root().join("web/dist/agent-bin"))?.next().context("no agent")??;
    let binary = std::fs::metadata(published.path().join("vm-agent"))?;
    let url = |digest: &str| format!("{}/agent-bin/{digest}/vm-agent", stage.origin());
    let served = http().get(url(&published.file_name().to_string_lossy())).send().await?;
    assert_eq!(served.status().as_u16(), 200);
    assert_eq!(served.bytes().await?.len() as u64, binary.len());
    for path in [url(&"0".repeat(64)), url("..%2f..%2findex.html"), format!("{}/agent-bin/", stage.origin())] {
        let answer = Raw::get(path).send(&http()).await?;
        assert_eq!(refusal(&answer), (404, Some(ErrorCode::NotFound)), "{}", answer.text());
    }
    stage.stop().await
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_refused() -> Result<()> {
    let stage = Stage::start().await?;
    let paths: BTreeSet<&str> = routes::ALL.iter().map(|endpoint| endpoint.path).collect();
    for path in paths {
        let has = |method| routes::ALL.iter().any(|endpoint| endpoint.path == path && endpoint.method == method);
        let known = [Method::Get, Method::Post, Method::Put, Method::Delete];
        let missing = known.into_iter().filter(|method| !has(*method)).map(Method::as_str);
        let url = format!("{}{}", stage.origin(), path.replace("{id}", "anything"));
        for method in missing.chain(["PATCH"]) {
            let request = Raw::new(method, &url).cookie(&stage.admin.cookie).header("origin", stage.origin());
            let answer = request.send(&http()).await?;
            assert_eq!(refusal(&answer), (405, Some(ErrorCode::MethodNotAllowed)), "{method} {path}");
            assert!(!answer.header("allow").is_empty(), "{method} {path}: RFC 9110 section 15.5.6 wants Allow");
        }
    }
    stage.stop().await
}

#[tokio::test]
async fn a_body_that_is_too_large_not_json_or_not_known_is_refused() -> Result<()> {
    let stage = Stage::start().await?;
    let admin = &stage.admin;
    // The bodies of agents are read after their token: the matrix has that.
    let with_body = ["redeem_sign_in_link", "create_api_token", "create_credential", "create_workspace", "create_user"];
    let before = crate::support::ledger::Ledger::read(&stage).await?;
    for endpoint in routes::ALL.iter().filter(|endpoint| with_body.contains(&endpoint.operation)) {
        let request = || signed_in(&stage, endpoint, admin);
        let json_type = || request().header("content-type", "application/json");
        let large = format!("{{\"name\":\"{}\"}}", "x".repeat(MAX_BODY_BYTES));
        for (what, request, code) in [
            ("too large", json_type().body(large.clone()), ErrorCode::BodyTooLarge),
            ("no JSON", json_type().body("{"), ErrorCode::InvalidBody),
            ("a list", json_type().body("[]"), ErrorCode::InvalidBody),
            ("no text", json_type().body([0xff, 0xfe, 0x00]), ErrorCode::InvalidBody),
            ("an unknown field", json_type().body(r#"{"unknown":1}"#), ErrorCode::InvalidBody),
            (
                "a form",
                request().header("content-type", "application/x-www-form-urlencoded").body("name=x"),
                ErrorCode::UnsupportedMediaType,
            ),
            (
                "plain text",
                request().header("content-type", "text/plain").body(r#"{"name":"x"}"#),
                ErrorCode::UnsupportedMediaType,
            ),
            ("no content type", request().body(r#"{"name":"x"}"#), ErrorCode::UnsupportedMediaType),
        ] {
            let answer = request.send(&http()).await?;
            assert_eq!(refusal(&answer), (code.status(), Some(code)), "{}: {what}: {}", endpoint.path, answer.text());
        }
    }
    assert_eq!(crate::support::ledger::Ledger::read(&stage).await?.changes_since(&before), Vec::<String>::new());
    stage.stop().await
}

#[tokio::test]
async fn what_names_nothing_is_not_found() -> Result<()> {
    let stage = Stage::start().await?;
    let people = routes::ALL.iter().filter(|endpoint| {
        endpoint.path.contains("{id}")
            && matches!(endpoint.principal, Principal::User | Principal::Session | Principal::Admin)
    });
    for endpoint in people {
        let wrong = [
            "anything",
            "..%2f..%2fetc",
            "%00",
            "wsp_0123456789abcdefghjk",
            "nod_0123456789abcdefghjk",
            "crd_0123456789abcdefghjk",
            "usr_0123456789abcdefghjk",
            "ses_0123456789abcdefghjk",
            "tok_0123456789abcdefghjk",
            "WSP_0123456789ABCDEFGHJK",
            "wsp_0123456789abcdefghjk0",
        ];
        for id in wrong {
            let url = format!("{}{}", stage.origin(), endpoint.path.replace("{id}", id));
            let request = Raw::new(endpoint.method.as_str(), url).cookie(&stage.admin.cookie);
            let request = request.header("origin", stage.origin()).json(&body_of(endpoint));
            let answer = request.send(&http()).await?;
            assert_eq!(refusal(&answer), (404, Some(ErrorCode::NotFound)), "{} with {id}", endpoint.path);
        }
    }
    for (path, query) in [
        (routes::EVENTS.path, "after=x"),
        (routes::EVENTS.path, "limit=0"),
        (routes::EVENTS.path, "unknown=1"),
        (routes::WORKSPACES_LIST.path, "limit=201"),
        (routes::WORKSPACES_LIST.path, "cursor=%27"),
        (routes::NODES_LIST.path, "limit=-1"),
        (routes::EVENTS.path, "after=9223372036854775807"),
        (routes::EVENTS.path, "after=-1"),
        (routes::ADMIN_AUDIT.path, "cursor=9223372036854775807"),
        (routes::ADMIN_AUDIT.path, "cursor=x"),
        (routes::ADMIN_USERS_LIST.path, "limit=1000000000000"),
    ] {
        let request = Raw::get(format!("{}{path}?{query}", stage.origin())).cookie(&stage.admin.cookie);
        let answer = request.send(&http()).await?;
        assert_eq!(refusal(&answer), (400, Some(ErrorCode::InvalidParameter)), "{path}?{query}: {}", answer.text());
    }
    stage.stop().await
}

#[tokio::test]
async fn every_answer_forbids_everything_a_page_could_do_with_it() -> Result<()> {
    let stage = Stage::start().await?;
    for endpoint in routes::ALL {
        for request in
            [signed_in(&stage, endpoint, &stage.admin), Raw::new(endpoint.method.as_str(), url_of(&stage, endpoint))]
        {
            let answer = request.send(&http()).await?;
            let place = format!("{} {} ({})", endpoint.method.as_str(), endpoint.path, answer.status);
            assert_eq!(
                answer.header("content-security-policy"),
                "default-src 'none'; frame-ancestors 'none'; sandbox",
                "{place}"
            );
            let lasting =
                if **endpoint == routes::JWKS && answer.status == 200 { "public, max-age=300" } else { "no-store" };
            assert_eq!(answer.header("cache-control"), lasting, "{place}");
            has_strict_headers(&answer, &place);
            if answer.status.as_u16() >= 400 && **endpoint != routes::READYZ {
                assert_eq!(answer.header("content-type"), PROBLEM_CONTENT_TYPE, "{place}");
                let problem = answer.problem().unwrap();
                assert_eq!(problem.status, answer.status.as_u16(), "{place}");
                assert!(
                    !problem.request_id.is_empty() && !problem.title.is_empty() && !problem.detail.is_empty(),
                    "{place}"
                );
            }
        }
    }
    stage.stop().await
}

#[tokio::test]
async fn every_asset_is_served_with_a_policy_without_inline_script() -> Result<()> {
    let stage = Stage::start().await?;
    let page = Raw::get(stage.origin()).send(&http()).await?.text();
    let assets: Vec<&str> = page.split('"').filter(|text| text.starts_with('/') && text.contains('.')).collect();
    assert!(assets.iter().any(|path| path.ends_with(".js")), "{page}");
    assert!(!page.contains("<script>"), "no inline script");
    for path in ["/", "/workspaces", "/settings"].iter().chain(&assets) {
        let answer = Raw::get(format!("{}{path}", stage.origin())).send(&http()).await?;
        assert_eq!(answer.status.as_u16(), 200, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        has_strict_headers(&answer, path);
    }
    stage.stop().await
}

#[tokio::test]
async fn anybody_may_ask_how_it_is_and_how_to_verify_its_tokens() -> Result<()> {
    let stage = Stage::start().await?;
    let get = async |endpoint: &Endpoint| Raw::get(url_of(&stage, endpoint)).send(&http()).await;
    assert_eq!(get(&routes::HEALTHZ).await?.text(), "ok\n");
    let ready: ReadyView = serde_json::from_slice(&get(&routes::READYZ).await?.body)?;
    assert!(ready.ready && ready.checks.iter().all(|check| check.ok), "{ready:?}");
    let names: BTreeSet<&str> = ready.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["database", "keys", "migrations", "sweeps"]));
    let keys: Value = serde_json::from_slice(&get(&routes::JWKS).await?.body)?;
    assert_eq!(keys, serde_json::to_value(stage.mint.keyring().jwks())?);
    assert!(keys["keys"][0].get("d").is_none(), "public keys only");
    let document: Value = serde_json::from_slice(&get(&routes::OPENAPI).await?.body)?;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for endpoint in routes::ALL {
        let operation = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
        assert_eq!(operation["operationId"], endpoint.operation, "{}", endpoint.path);
    }
    stage.stop().await
}

#[tokio::test]
async fn a_repeated_creation_makes_one_thing() -> Result<()> {
    let stage = Stage::start().await?;
    let owner = stage.member("owner").await?;
    let http = http();
    let body = json!({ "provider": "hetzner", "secret": stage.cloud_key() });
    let create = async || creation(&stage, &owner, &routes::CREDENTIAL_CREATE, "k1", &body).send(&http).await;
    let ids: BTreeSet<CredentialId> =
        made::<CredentialView, _>(try_join_all((0..10).map(|_| create())).await?, |made| made.id)?;
    assert_eq!(ids.len(), 1, "ten at once make one credential");
    assert_eq!(owner.client.call::<Page<CredentialView>>(&routes::CREDENTIALS_LIST, &[]).await?.items.len(), 1);
    assert_eq!(made::<CredentialView, _>(vec![create().await?], |made| made.id)?, ids, "nor does one more later");

    let create = async || creation(&stage, &owner, &routes::WORKSPACE_CREATE, "k2", &json!({})).send(&http).await;
    let ids: BTreeSet<WorkspaceId> =
        made::<WorkspaceView, _>(try_join_all((0..10).map(|_| create())).await?, |made| made.id)?;
    assert_eq!(ids.len(), 1, "ten at once make one workspace");
    let workspace = *ids.first().unwrap();
    owner.client.workspace_in(workspace, WorkspaceState::Running).await?;
    assert_eq!(made::<WorkspaceView, _>(vec![create().await?], |made| made.id)?, ids);
    assert_eq!(owner.client.workspaces().await?.len(), 1);
    assert_eq!(stage.stack.cloud_servers().await?, 1);
    assert_eq!(stage.audited("workspace.create").await?, 1);

    let create = async || {
        let body = json!({ "name": "newcomer" });
        creation(&stage, &stage.admin, &routes::ADMIN_USER_CREATE, "k3", &body).send(&http).await
    };
    let ids = made::<UserView, _>(try_join_all((0..10).map(|_| create())).await?, |made| made.id)?;
    assert_eq!(ids.len(), 1, "ten at once make one user");
    stage.stop().await
}

#[tokio::test]
async fn a_key_used_for_something_else_is_refused_and_keys_of_two_users_do_not_meet() -> Result<()> {
    let stage = Stage::start().await?;
    let (one, two) = tokio::try_join!(stage.member("one"), stage.member("two"))?;
    let http = http();
    let credential = |name: &str| json!({ "provider": "hetzner", "secret": stage.cloud_key(), "name": name });
    let create = async |person: &Person, endpoint: &Endpoint, key: &str, body: &Value| {
        creation(&stage, person, endpoint, key, body).send(&http).await
    };
    let first = create(&one, &routes::CREDENTIAL_CREATE, "key", &credential("a")).await?;
    assert_eq!(first.status.as_u16(), 201);
    let mismatch = (409, Some(ErrorCode::IdempotencyMismatch));
    assert_eq!(refusal(&create(&one, &routes::CREDENTIAL_CREATE, "key", &credential("b")).await?), mismatch);
    assert_eq!(refusal(&create(&one, &routes::WORKSPACE_CREATE, "key", &json!({})).await?), mismatch);
    let others = create(&two, &routes::CREDENTIAL_CREATE, "key", &credential("a")).await?;
    assert_eq!(others.status.as_u16(), 201);
    let id = |answer: &Answer| serde_json::from_slice::<CredentialView>(&answer.body).unwrap().id;
    assert_ne!(id(&first), id(&others));
    let secret = json!({ "name": "program" });
    assert_eq!(create(&one, &routes::TOKEN_CREATE, "token", &secret).await?.status.as_u16(), 201);
    let again = create(&one, &routes::TOKEN_CREATE, "token", &secret).await?;
    assert_eq!(refusal(&again), (409, Some(ErrorCode::Conflict)), "a secret is shown once");
    let tokens = try_join_all((0..10).map(|_| create(&one, &routes::TOKEN_CREATE, "tokens", &secret))).await?;
    assert_eq!(tokens.iter().filter(|answer| answer.status == 201).count(), 1);
    let rest: BTreeSet<u16> = tokens.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(rest, BTreeSet::from([201, 409]));
    for wrong in ["", "two words", &"x".repeat(129)] {
        let answer = create(&one, &routes::TOKEN_CREATE, wrong, &secret).await?;
        assert_eq!(refusal(&answer), (400, Some(ErrorCode::InvalidParameter)), "{wrong:?}");
    }
    stage.stop().await
}

#[tokio::test]
async fn a_sign_in_link_makes_one_session_and_only_in_time() -> Result<()> {
    let stage = Stage::start().await?;
    let user = stage.admin.client.create_user("newcomer").await?.id;
    let link = stage.stack.sign_in_link(user).await?;
    let attempts = futures_util::future::join_all((0..20).map(|_| Client::sign_in(stage.origin(), &link))).await;
    let (signed_in, refused): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Result::is_ok);
    assert_eq!((signed_in.len(), refused.len()), (1, 19));
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.downcast::<Refused>()?.code(), Some(ErrorCode::LinkInvalid));
    }
    let client = signed_in.into_iter().next().unwrap()?;
    assert_eq!(client.me().await?.user.id, user);
    let sessions: Page<SessionView> = client.call(&routes::SESSIONS_LIST, &[]).await?;
    assert_eq!(sessions.items.len(), 1);
    let again = Client::sign_in(stage.origin(), &link).await.err().unwrap();
    assert_eq!(again.downcast::<Refused>()?.code(), Some(ErrorCode::LinkInvalid));

    let late = stage.stack.sign_in_link(user).await?;
    let over = "UPDATE sign_in_links SET expires_at_ms = created_at_ms + 1 WHERE user_id = ?1";
    stage.stack.d1(over, &[json!(user)]).await?;
    let refused = Client::sign_in(stage.origin(), &late).await.err().unwrap().downcast::<Refused>()?;
    assert_eq!(refused.code(), Some(ErrorCode::LinkInvalid));
    stage.stop().await
}

#[tokio::test]
async fn the_session_cookie_is_for_this_host_and_no_script() -> Result<()> {
    let stage = Stage::start().await?;
    let link = stage.stack.sign_in_link(stage.admin.user).await?;
    let body = json!({ "token": link.rsplit_once("#token=").unwrap().1 });
    let request = Raw::post(url_of(&stage, &routes::AUTH_LINK)).header("origin", stage.origin()).json(&body);
    let answer = request.send(&http()).await?;
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-session="));
    let (ages, attributes): (BTreeSet<&str>, BTreeSet<&str>) =
        cookie.split("; ").skip(1).partition(|attribute| attribute.starts_with("Max-Age="));
    assert_eq!(attributes, BTreeSet::from(["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]));
    // Seven days, less what the answer took.
    let age: u64 = ages.first().and_then(|age| age.strip_prefix("Max-Age=")?.parse().ok()).unwrap();
    assert!(ages.len() == 1 && (604_740..=604_800).contains(&age), "{ages:?}");
    // Two cookies of the name are none: one of them may have been planted.
    let value = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
    let twice = format!("__Host-session={value}; __Host-session={}", stage.admin.cookie);
    let answer = Raw::get(url_of(&stage, &routes::ME)).header("cookie", twice).send(&http()).await?;
    assert_eq!(refusal(&answer), (401, Some(ErrorCode::Unauthenticated)));
    let request = Raw::post(url_of(&stage, &routes::SIGN_OUT)).cookie(value).header("origin", stage.origin());
    let answer = request.send(&http()).await?;
    assert!(answer.header("set-cookie").starts_with("__Host-session=; Max-Age=0;"));
    stage.stop().await
}

fn url_of(stage: &Stage, endpoint: &Endpoint) -> String {
    format!("{}{}", stage.origin(), endpoint.fill(&[&"anything"]))
}

/// A request that gets as far as it can with a browser's credentials and no body.
fn signed_in(stage: &Stage, endpoint: &Endpoint, person: &Person) -> Raw {
    let request = Raw::new(endpoint.method.as_str(), url_of(stage, endpoint)).header("origin", stage.origin());
    // Signing out would end what the next request needs.
    if *endpoint == routes::SIGN_OUT { request } else { request.cookie(&person.cookie) }
}

fn creation(stage: &Stage, person: &Person, endpoint: &Endpoint, key: &str, body: &Value) -> Raw {
    let request = Raw::new("POST", url_of(stage, endpoint)).cookie(&person.cookie).header("origin", stage.origin());
    request.header("idempotency-key", key).json(body)
}

fn made<T: serde::de::DeserializeOwned, I: Ord>(answers: Vec<Answer>, id: impl Fn(T) -> I) -> Result<BTreeSet<I>> {
    let read = |answer: &Answer| {
        assert!(answer.status.is_success(), "{} {}", answer.status, answer.text());
        Ok(id(serde_json::from_slice(&answer.body)?))
    };
    answers.iter().map(read).collect()
}

fn body_of(endpoint: &Endpoint) -> Value {
    let bodies = [
        (routes::CREDENTIAL_REPLACE, json!({ "secret": "x" })),
        (routes::WORKSPACE_KEEP_ALIVE, json!({ "secs": 60 })),
        (routes::NODE_FORGET, json!({ "confirm": "x" })),
        (routes::ADMIN_NODE_FORGET, json!({ "confirm": "x" })),
        (routes::ADMIN_USER_MEMBERSHIP, json!({ "tenant_id": "ten_0123456789abcdefghjk", "role": "member" })),
    ];
    bodies.into_iter().find(|(of, _)| of == endpoint).map_or_else(|| json!({}), |(_, body)| body)
}

fn refusal(answer: &Answer) -> (u16, Option<ErrorCode>) {
    (answer.status.as_u16(), answer.code())
}

fn is_fallback(answer: &Answer) -> bool {
    answer.problem().is_some_and(|problem| problem.detail == "There is no such page.")
}

fn has_strict_headers(answer: &Answer, place: &str) {
    for (name, value) in [
        ("strict-transport-security", "max-age=63072000; includeSubDomains"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{place}: {name}");
    }
}
