//! Who did what, on what, from where: on record, for administrators only. And no secret, there or anywhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ringfence_protocol::claims::{BootstrapClaims, SessionClaims};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::{self, Endpoint};
use ringfence_protocol::state::{NodeState, WorkspaceState};
use ringfence_protocol::views::{AuditView, CredentialView, NodeView, Page, SignInLinkView, UserView, WorkspaceView};
use serde_json::{Value, json};
use xtask::client::Refused;

use crate::support::mint;
use crate::support::people::Person;
use crate::support::request::{Raw, http};
use crate::support::stage::{LIMIT, Stage};

#[tokio::test]
async fn every_act_that_matters_is_on_record() -> Result<()> {
    let stage = Stage::start().await?;
    let admin = &stage.admin;
    let user = admin.client.create_user("newcomer").await?.id;
    let link: SignInLinkView = admin.client.call(&routes::ADMIN_USER_LINK, &[&user]).await?;
    let person = Person::sign_in(&stage.origin(), link.url.expose()).await?;
    let client = &person.client;
    let second = stage.again(user).await?;
    let token = person.api_token("program").await?;
    client.act(&routes::TOKEN_REVOKE, &[&token.token.id]).await?;

    let (credential, workspace) = person.running_workspace(stage.cloud_key()).await?;
    let node = workspace.node.id;
    let _: CredentialView = client.call(&routes::CREDENTIAL_VALIDATE, &[&credential]).await?;
    let key = json!({ "secret": stage.cloud_key() });
    let _: CredentialView = client.send(&routes::CREDENTIAL_REPLACE, &[&credential], &key).await?;
    // One of another project would make every machine look as if somebody had deleted it.
    let foreign = json!({ "secret": stage.stack.secrets().cloud_tokens[1] });
    let refused =
        client.send::<CredentialView>(&routes::CREDENTIAL_REPLACE, &[&credential], &foreign).await.unwrap_err();
    assert_eq!(refused.downcast_ref::<Refused>().and_then(Refused::code), Some(ErrorCode::Conflict), "{refused:?}");
    client.workspace_token(workspace.id, None).await?;
    let _: WorkspaceView = client.call(&routes::WORKSPACE_STOP, &[&workspace.id]).await?;
    client.workspace_in(workspace.id, WorkspaceState::Stopped).await?;
    let _: WorkspaceView = client.call(&routes::WORKSPACE_START, &[&workspace.id]).await?;
    client.workspace_in(workspace.id, WorkspaceState::Running).await?;
    for policy in [&routes::NODE_CORDON, &routes::NODE_UNCORDON, &routes::NODE_DRAIN] {
        let _: NodeView = client.call(policy, &[&node]).await?;
    }
    client.delete_workspace(workspace.id).await?;
    client.delete_node(node).await?;
    client.node_in(node, NodeState::Gone).await?;
    client.delete_credential(credential).await?;
    second.client.act(&routes::SIGN_OUT, &[]).await?;
    let _: UserView = admin.client.call(&routes::ADMIN_USER_SUSPEND, &[&user]).await?;
    let _: UserView = admin.client.call(&routes::ADMIN_USER_RESUME, &[&user]).await?;

    let log = Log::read(&stage).await?;
    let (by_admin, by_user, by_node) = (admin.user.to_string(), user.to_string(), node.to_string());
    log.has("operator", "user.create", &by_admin);
    for (actor, action, subject) in [
        (&by_admin, "user.create", by_user.clone()),
        (&by_user, "session.create", person.session.to_string()),
        (&by_user, "session.create", second.session.to_string()),
        (&by_user, "session.revoke", second.session.to_string()),
        (&by_user, "api_token.create", token.token.id.to_string()),
        (&by_user, "api_token.revoke", token.token.id.to_string()),
        (&by_user, "credential.create", credential.to_string()),
        (&by_user, "credential.validate", credential.to_string()),
        (&by_user, "credential.replace", credential.to_string()),
        (&by_user, "credential.delete", credential.to_string()),
        (&by_user, "workspace.create", workspace.id.to_string()),
        (&by_user, "workspace_token.create", workspace.id.to_string()),
        (&by_user, "workspace.stop", workspace.id.to_string()),
        (&by_user, "workspace.start", workspace.id.to_string()),
        (&by_user, "workspace.delete", workspace.id.to_string()),
        (&by_user, "node.cordon", by_node.clone()),
        (&by_user, "node.uncordon", by_node.clone()),
        (&by_user, "node.drain", by_node.clone()),
        (&by_user, "node.delete", by_node.clone()),
        (&by_node, "bootstrap.redeem", by_node.clone()),
        (&by_admin, "user.suspend", by_user.clone()),
        (&by_admin, "user.resume", by_user.clone()),
    ] {
        log.has(actor, action, &subject);
    }
    let links = log.rows.iter().filter(|row| row.action == "sign_in_link.create" && row.actor == by_admin);
    assert_eq!(links.filter(|row| row.detail == by_user).count(), 1, "whose link the administrator made");
    stage.stop().await
}

#[tokio::test]
async fn an_act_says_where_it_came_from() -> Result<()> {
    let stage = Stage::start().await?;
    // The platform puts the caller's address there; a caller's own header never gets this far.
    let request = Raw::post(format!("{}{}", stage.origin(), routes::TOKEN_CREATE.path)).cookie(&stage.admin.cookie);
    let request = request.header("origin", stage.origin()).header("cf-connecting-ip", "203.0.113.7");
    let answer = request.json(&json!({ "name": "from afar" })).send(&http()).await?;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    let log = Log::read(&stage).await?;
    let row = log.rows.iter().find(|row| row.action == "api_token.create").unwrap();
    assert_eq!((row.source_address.as_str(), row.detail.as_str()), ("203.0.113.7", "from afar"));
    stage.stop().await
}

#[tokio::test]
async fn the_log_is_read_in_pages_newest_first_and_cannot_be_changed() -> Result<()> {
    let stage = Stage::start().await?;
    for name in ["one", "two", "three"] {
        stage.admin.client.create_user(name).await?;
    }
    let all = Log::read(&stage).await?.rows;
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id && pair[0].at >= pair[1].at));
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let url = format!("{}{}?limit=2{cursor}", stage.origin(), routes::ADMIN_AUDIT.path);
        let page: Page<AuditView> =
            serde_json::from_slice(&Raw::get(url).cookie(&stage.admin.cookie).send(&http()).await?.body)?;
        assert!(page.items.len() <= 2);
        paged.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let on_the_log: Vec<&&Endpoint> = routes::ALL.iter().filter(|endpoint| endpoint.path.contains("audit")).collect();
    assert_eq!(on_the_log, [&&routes::ADMIN_AUDIT], "there is no other way to it");
    stage.stop().await
}

#[tokio::test]
async fn no_secret_is_ever_written_down() -> Result<()> {
    let stage = Stage::start().await?;
    let user = stage.admin.client.create_user("owner").await?.id;
    let link: SignInLinkView = stage.admin.client.call(&routes::ADMIN_USER_LINK, &[&user]).await?;
    let owner = Person::sign_in(&stage.origin(), link.url.expose()).await?;
    let unused: SignInLinkView = stage.admin.client.call(&routes::ADMIN_USER_LINK, &[&user]).await?;
    let token = owner.api_token("program").await?;
    let (credential, workspace) = owner.running_workspace(stage.cloud_key()).await?;
    let workspace_token = owner.client.workspace_token(workspace.id, None).await?;
    let mut terminal = owner.client.open_terminal(workspace.id).await?;
    terminal.type_line("echo between \"\"us").await?;
    terminal.wait_for("between us", LIMIT).await?;
    // Refusals are logged too: with what was wrong, never with what was sent.
    let wrong_key = "wrong-key-0123456789abcdef0123456789abcdef";
    assert!(owner.client.create_credential(wrong_key).await.is_err());
    for request in [
        Raw::get(format!("{}{}", stage.origin(), routes::ME.path)).bearer(&owner.cookie),
        Raw::get(format!("{}{}", stage.origin(), routes::ME.path)).cookie(token.secret.expose()),
        Raw::post(format!("{}{}", stage.origin(), routes::AUTH_LINK.path))
            .header("origin", stage.origin())
            .json(&json!({ "token": link.url.expose() })),
    ] {
        assert_eq!(request.send(&http()).await?.status.as_u16(), 401);
    }
    let _: CredentialView = owner.client.call(&routes::CREDENTIAL_VALIDATE, &[&credential]).await?;

    let keyring = &stage.stack.secrets().keyring;
    let kind = |token: String| token.split('.').next().unwrap().to_owned();
    let tenant = mint::random_id();
    let session = kind(stage.mint.sign(SessionClaims { sid: owner.session, user, tenant }));
    let bootstrap = kind(stage.mint.sign(BootstrapClaims { jti: mint::random_id(), node: workspace.node.id }));
    let callback = kind(stage.mint.sign(mint::callback(workspace.node.id, 0, "")));
    let everywhere = BTreeMap::from([
        ("the cloud's key", stage.cloud_key().to_owned()),
        ("a key that was refused", wrong_key.to_owned()),
        ("the session cookie", signature(&owner.cookie)),
        ("the admin's cookie", signature(&stage.admin.cookie)),
        ("a workspace token", signature(workspace_token.expose())),
        ("the API token", secret_part(token.secret.expose())),
        ("the used link", secret_part(link.url.expose())),
        ("the unused link", secret_part(unused.url.expose())),
        ("a bootstrap token", bootstrap),
        ("the signing key", text_of(&keyring["keys"][0]["seed"])),
        ("the sealing key", text_of(&keyring["seal"][0]["key"])),
        ("the MAC key", text_of(&keyring["mac"])),
    ]);
    let only_on_machines = BTreeMap::from([
        ("a session", session),
        ("a callback token", callback),
        ("a workspace token", kind(workspace_token.expose().to_owned())),
        ("what was typed", "between us".to_owned()),
    ]);

    for (table, rows) in tables(&stage).await? {
        for (what, secret) in everywhere.iter().chain(&only_on_machines) {
            assert!(!rows.contains(secret.as_str()), "{what} is in the table {table}");
        }
    }
    // The files too, which hold what was deleted and what objects store; the machines' own files are the machines'.
    let dir = stage.stack.state_dir();
    let files = files_below(dir)?;
    let mut names_seen = 0;
    for path in files.iter().filter(|path| !path.ends_with("secrets.json")) {
        let on_machine = path.starts_with(dir.join("local-cloud"));
        let secrets = everywhere.iter().chain(only_on_machines.iter().filter(|_| !on_machine));
        let content = std::fs::read(path)?;
        names_seen += usize::from(holds(&content, &credential.to_string()));
        for (what, secret) in secrets {
            assert!(!holds(&content, secret), "{what} is in {}", path.display());
        }
    }
    assert!(names_seen > 0, "what is no secret is found there: we looked in the right place");
    for (what, secret) in everywhere.iter().chain(&only_on_machines) {
        assert!(!in_an_argument(secret), "{what} is an argument of a process");
    }
    stage.stop().await
}

/// The whole audit log as an administrator reads it.
struct Log {
    rows: Vec<AuditView>,
}

impl Log {
    async fn read(stage: &Stage) -> Result<Self> {
        let url = format!("{}{}?limit=200", stage.origin(), routes::ADMIN_AUDIT.path);
        let answer = Raw::get(url).cookie(&stage.admin.cookie).send(&http()).await?;
        Ok(Self { rows: serde_json::from_slice::<Page<AuditView>>(&answer.body)?.items })
    }

    /// One row says this.
    fn has(&self, actor: &str, action: &str, subject: &str) {
        let found =
            self.rows.iter().filter(|row| (&*row.actor, &*row.action, &*row.subject) == (actor, action, subject));
        assert_eq!(found.count(), 1, "{actor} {action} {subject} in {:#?}", self.rows);
    }
}

async fn tables(stage: &Stage) -> Result<BTreeMap<String, String>> {
    let mut tables = BTreeMap::new();
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_cf_*'";
    for row in stage.stack.d1(names, &[]).await? {
        let name = text_of(&row["name"]);
        let rows = stage.stack.d1(&format!("SELECT * FROM {name}"), &[]).await?;
        tables.insert(name, serde_json::to_string(&rows)?);
    }
    Ok(tables)
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            files.extend(files_below(&path)?);
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn in_an_argument(secret: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok()).any(|line| holds(&line, secret))
}

fn holds(content: &[u8], secret: &str) -> bool {
    content.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// The part of a JWT that nobody else can make.
fn signature(token: &str) -> String {
    token.rsplit_once('.').unwrap().1.to_owned()
}

/// The part of an API token or sign-in link that is not its name: what stands before the MAC's dot.
fn secret_part(token: &str) -> String {
    let signed = token.rsplit_once('.').unwrap().0;
    signed[signed.len() - 43..].to_owned()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
