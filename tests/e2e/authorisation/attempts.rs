//! Every credential of the matrix, in every place where credentials go.

use anyhow::Result;
use ringfence::domain::mac;
use ringfence_protocol::claims::{BootstrapClaims, SessionClaims, WorkspaceClaims};
use ringfence_protocol::ids::{ApiTokenId, CredentialId, GrantId, NodeId, SessionId, TenantId, WorkspaceId};
use ringfence_protocol::params::CreateUserParams;
use ringfence_protocol::routes;
use ringfence_protocol::state::{Permission, Role};
use ringfence_protocol::views::UserView;
use serde_json::json;
use xtask::client::Client;

use crate::support::mint::{self, Mint};
use crate::support::people::Person;
use crate::support::request::DeviceKey;
use crate::support::stage::Stage;

/// Things of one user that somebody else might want.
pub struct Belongings {
    pub person: Person,
    pub api_token: (ApiTokenId, String),
    pub credential: CredentialId,
    pub workspace: WorkspaceId,
    pub node: NodeId,
}

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nothing,
    Garbage,
    Session,
    Workspace,
    Bootstrap,
    Callback,
    ApiToken,
    SignInLink,
}

/// Whose it is, and whether it still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Victims,
    Others,
    Admins,
    /// An admin of the victim's tenant.
    TenantAdmins,
    Expired,
    /// Revoked, suspended, forged, of an older epoch: it opens nothing anywhere.
    Void,
}

/// Where a credential is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Cookie,
    Bearer,
    BearerWithProof,
    DpopWithProof,
    Subprotocol,
}

const PLACES: [Place; 5] =
    [Place::Cookie, Place::Bearer, Place::BearerWithProof, Place::DpopWithProof, Place::Subprotocol];

pub struct Attempt {
    pub what: &'static str,
    pub kind: Kind,
    pub standing: Standing,
    pub token: String,
    pub place: Place,
}

impl Attempt {
    /// Whether it opens what it is for.
    pub fn stands(&self) -> bool {
        matches!(self.standing, Standing::Victims | Standing::Others | Standing::Admins | Standing::TenantAdmins)
    }
}

pub async fn settled(stage: &Stage, name: &str) -> Result<Belongings> {
    let person = stage.member(name).await?;
    let token = person.api_token("mine").await?;
    let (credential, workspace) = person.running_workspace(stage.cloud_key()).await?;
    Ok(Belongings {
        person,
        api_token: (token.token.id, token.secret.expose().to_owned()),
        credential,
        workspace: workspace.id,
        node: workspace.node.id,
    })
}

pub async fn attempts(
    stage: &Stage,
    victim: &Belongings,
    other: &Belongings,
    outcast: &Belongings,
    key: &DeviceKey,
) -> Result<Vec<Attempt>> {
    let mut all = Vec::new();
    let mut add = |what, kind, standing, token: &str, place| {
        all.push(Attempt { what, kind, standing, token: token.to_owned(), place });
    };
    add("nothing", Kind::Nothing, Standing::Void, "", Place::Cookie);

    // Genuine and in force: wherever they do not belong, they open nothing.
    let epoch = stage.agent_epoch(victim.node).await?;
    let session = victim.person.cookie.clone();
    let workspace = workspace_claims(victim, GrantId::Session(victim.person.session));
    let bootstrap = mint::bootstrap(&stage.stack, victim.node).await?;
    let callback = mint::callback(victim.node, epoch, &key.jkt());
    let link = sign_in_token(stage, &victim.person).await?;
    for place in PLACES {
        add("garbage", Kind::Garbage, Standing::Void, "eyJhbGciOiJub25lIn0.e30.garbage", place);
        add("a session", Kind::Session, Standing::Victims, &session, place);
        add("a workspace token", Kind::Workspace, Standing::Victims, &stage.mint.sign(workspace.clone()), place);
        add("a bootstrap token", Kind::Bootstrap, Standing::Victims, &stage.mint.sign(bootstrap.clone()), place);
        add("a callback token", Kind::Callback, Standing::Victims, &stage.mint.sign(callback.clone()), place);
        add("an API token", Kind::ApiToken, Standing::Victims, &victim.api_token.1, place);
        add("a sign-in link", Kind::SignInLink, Standing::Victims, &link, place);
    }

    // Another user's, and an admin's, where they would belong.
    add("another's session", Kind::Session, Standing::Others, &other.person.cookie, Place::Cookie);
    add("another's API token", Kind::ApiToken, Standing::Others, &other.api_token.1, Place::Bearer);
    let theirs = other.person.client.workspace_token(other.workspace, None).await?;
    add("another's workspace token", Kind::Workspace, Standing::Others, theirs.expose(), Place::Subprotocol);
    let admins = stage.admin.api_token("admin's").await?;
    add("an admin's session", Kind::Session, Standing::Admins, &stage.admin.cookie, Place::Cookie);
    add("an admin's API token", Kind::ApiToken, Standing::Admins, admins.secret.expose(), Place::Bearer);

    // Of the victim's tenant, where an admin sees what its users have, and touches nothing of it.
    let params = CreateUserParams {
        name: "boss".into(),
        role: Some(Role::TenantAdmin),
        tenant_id: Some(session_claims(stage, victim).await?.tenant),
    };
    let boss: UserView = stage.admin.client.send(&routes::ADMIN_USER_CREATE, &[], &params).await?;
    let boss = stage.again(boss.id).await?;
    let bosses = boss.api_token("boss's").await?;
    add("a tenant admin's session", Kind::Session, Standing::TenantAdmins, &boss.cookie, Place::Cookie);
    add("a tenant admin's API token", Kind::ApiToken, Standing::TenantAdmins, bosses.secret.expose(), Place::Bearer);

    // Once genuine, now over.
    let claims = session_claims(stage, victim).await?;
    add(
        "an expired session",
        Kind::Session,
        Standing::Expired,
        &stage.mint.sign_expired(claims.clone()),
        Place::Cookie,
    );
    let expired = stage.mint.sign_expired(workspace.clone());
    add("an expired workspace token", Kind::Workspace, Standing::Expired, &expired, Place::Subprotocol);
    let expired = stage.mint.sign_expired(bootstrap.clone());
    add("an expired bootstrap token", Kind::Bootstrap, Standing::Expired, &expired, Place::BearerWithProof);
    let expired = stage.mint.sign_expired(callback.clone());
    add("an expired callback token", Kind::Callback, Standing::Expired, &expired, Place::DpopWithProof);
    let expired = victim.person.api_token("expired").await?;
    let over = "UPDATE api_tokens SET expires_at_ms = created_at_ms + 1 WHERE id = ?1";
    stage.stack.d1(over, &[json!(expired.token.id)]).await?;
    add("an expired API token", Kind::ApiToken, Standing::Expired, expired.secret.expose(), Place::Bearer);
    let expired = stage.again(victim.person.user).await?;
    let over = "UPDATE sessions SET expires_at_ms = created_at_ms + 1 WHERE id = ?1";
    stage.stack.d1(over, &[json!(expired.session)]).await?;
    add("a session whose row has expired", Kind::Session, Standing::Expired, &expired.cookie, Place::Cookie);
    let expired = sign_in_token(stage, &other.person).await?;
    let over = "UPDATE sign_in_links SET expires_at_ms = created_at_ms + 1 WHERE user_id = ?1";
    stage.stack.d1(over, &[json!(other.person.user)]).await?;
    add("an expired sign-in link", Kind::SignInLink, Standing::Expired, &expired, Place::Cookie);

    // Taken back.
    let second = stage.again(victim.person.user).await?;
    let from_second = second.client.workspace_token(victim.workspace, None).await?;
    let taken = second.api_token("taken back").await?;
    let as_token = second.client.with_api_token(&taken.secret)?;
    let from_token = as_token.workspace_token(victim.workspace, None).await?;
    second.client.act(&routes::TOKEN_REVOKE, &[&taken.token.id]).await?;
    second.client.act(&routes::SIGN_OUT, &[]).await?;
    add("a revoked session", Kind::Session, Standing::Void, &second.cookie, Place::Cookie);
    add("a revoked session's token", Kind::Workspace, Standing::Void, from_second.expose(), Place::Subprotocol);
    add("a revoked API token", Kind::ApiToken, Standing::Void, taken.secret.expose(), Place::Bearer);
    add("a revoked API token's token", Kind::Workspace, Standing::Void, from_token.expose(), Place::Subprotocol);
    let spent = sign_in_token(stage, &victim.person).await?;
    Client::sign_in(stage.origin(), &spent).await?;
    add("a spent sign-in link", Kind::SignInLink, Standing::Void, &spent, Place::Cookie);

    // Of a suspended user.
    let of_outcast = outcast.person.client.workspace_token(outcast.workspace, None).await?;
    let link_of_outcast = sign_in_token(stage, &outcast.person).await?;
    stage.admin.client.act(&routes::ADMIN_USER_SUSPEND, &[&outcast.person.user]).await?;
    add("a suspended user's session", Kind::Session, Standing::Void, &outcast.person.cookie, Place::Cookie);
    add("a suspended user's API token", Kind::ApiToken, Standing::Void, &outcast.api_token.1, Place::Bearer);
    // For another workspace than the victim's, which is what is looked at first.
    add("a suspended user's token", Kind::Workspace, Standing::Others, of_outcast.expose(), Place::Subprotocol);
    add("a suspended user's link", Kind::SignInLink, Standing::Void, &link_of_outcast, Place::Cookie);

    // Signed with the right key, for nobody.
    let nobody = SessionClaims { sid: mint::random_id(), ..claims.clone() };
    add("a session without a row", Kind::Session, Standing::Void, &stage.mint.sign(nobody), Place::Cookie);
    let older = stage.mint.sign(mint::callback(victim.node, epoch - 1, &key.jkt()));
    add("a callback token of an older epoch", Kind::Callback, Standing::Void, &older, Place::DpopWithProof);
    let unknown = stage.mint.sign(mint::callback(mint::random_id(), epoch, &key.jkt()));
    add("a callback token of no node", Kind::Callback, Standing::Void, &unknown, Place::DpopWithProof);
    let unbound = stage.mint.sign(mint::callback(victim.node, epoch, &DeviceKey::new().jkt()));
    add("a callback token of another key", Kind::Callback, Standing::Void, &unbound, Place::DpopWithProof);
    let unknown = BootstrapClaims { jti: mint::random_id(), node: victim.node };
    add(
        "a bootstrap token without a row",
        Kind::Bootstrap,
        Standing::Void,
        &stage.mint.sign(unknown),
        Place::BearerWithProof,
    );
    let another = BootstrapClaims { node: other.node, ..bootstrap.clone() };
    add(
        "a bootstrap token of another node",
        Kind::Bootstrap,
        Standing::Void,
        &stage.mint.sign(another),
        Place::BearerWithProof,
    );
    let elsewhere = WorkspaceClaims { node: other.node, ..workspace.clone() };
    add(
        "a workspace token of another node",
        Kind::Workspace,
        Standing::Void,
        &stage.mint.sign(elsewhere),
        Place::Subprotocol,
    );
    let not_mine =
        WorkspaceClaims { user: other.person.user, sid: GrantId::Session(other.person.session), ..workspace.clone() };
    add(
        "a workspace token of another owner",
        Kind::Workspace,
        Standing::Void,
        &stage.mint.sign(not_mine),
        Place::Subprotocol,
    );

    // Right in all but the key they are signed with.
    let forger = Mint::forger(&stage.stack);
    add("a forged session", Kind::Session, Standing::Void, &forger.sign(claims), Place::Cookie);
    add("a forged workspace token", Kind::Workspace, Standing::Void, &forger.sign(workspace), Place::Subprotocol);
    add("a forged bootstrap token", Kind::Bootstrap, Standing::Void, &forger.sign(bootstrap), Place::BearerWithProof);
    add("a forged callback token", Kind::Callback, Standing::Void, &forger.sign(callback), Place::DpopWithProof);
    let (forged, _) = mac::issue(forger.keyring(), victim.api_token.0, rand::random());
    add("a forged API token", Kind::ApiToken, Standing::Void, forged.expose(), Place::Bearer);
    let (guessed, _) = mac::issue(stage.mint.keyring(), victim.api_token.0, rand::random());
    add("an API token with another secret", Kind::ApiToken, Standing::Void, guessed.expose(), Place::Bearer);
    Ok(all)
}

async fn sign_in_token(stage: &Stage, person: &Person) -> Result<String> {
    let link = stage.stack.sign_in_link(person.user).await?;
    Ok(link.rsplit_once("#token=").unwrap().1.to_owned())
}

async fn session_claims(stage: &Stage, victim: &Belongings) -> Result<SessionClaims> {
    let tenant: TenantId =
        stage.text("SELECT tenant_id FROM users WHERE id = ?1", &[json!(victim.person.user)]).await?.parse()?;
    let sid: SessionId = victim.person.session;
    Ok(SessionClaims { sid, user: victim.person.user, tenant })
}

fn workspace_claims(victim: &Belongings, sid: GrantId) -> WorkspaceClaims {
    WorkspaceClaims {
        jti: mint::random_id(),
        user: victim.person.user,
        workspace: victim.workspace,
        node: victim.node,
        permissions: vec![Permission::TerminalRead, Permission::TerminalWrite],
        sid,
    }
}
