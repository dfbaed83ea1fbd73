//! What was opened with a session or an API token closes with it, within two seconds, and nothing else does.

use std::time::{Duration, Instant};

use anyhow::Result;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::close_code;
use ringfence_protocol::params::SecretText;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::{self, Endpoint};
use ringfence_protocol::views::MeView;
use serde_json::json;
use xtask::client::{Client, Refused, Screen, Terminal};
use xtask::clock;

use crate::support::request::{Raw, http};
use crate::support::socket::EventsSocket;
use crate::support::stage::{LIMIT, Stage};

/// From the request to the close frame.
const PROMISED: Duration = Duration::from_secs(2);

/// What one browser or program has open at a workspace.
struct Viewing {
    workspace: WorkspaceId,
    token: SecretText,
    terminal: Terminal,
    events: EventsSocket,
}

impl Viewing {
    async fn open(client: &Client, workspace: WorkspaceId) -> Result<Self> {
        let token = client.workspace_token(workspace, None).await?;
        Ok(Self {
            workspace,
            terminal: Terminal::open(client.origin(), workspace, token.clone(), Screen::default()).await?,
            events: EventsSocket::open(client.origin(), workspace, &token).await?,
            token,
        })
    }

    /// Both sockets carry something there and back.
    async fn is_alive(&mut self) -> Result<()> {
        self.terminal.type_line("echo alive \"\"and well").await?;
        self.terminal.wait_for("alive and well", LIMIT).await?;
        self.events.ping(LIMIT).await
    }

    /// Both sockets are closed as revoked before the promise is broken, and neither they nor their token come back.
    async fn ends_before(&mut self, deadline: Instant) -> Result<()> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let closed = self.terminal.wait_for_close(left()).await?;
        assert_eq!(closed.0, close_code::REVOKED);
        assert_eq!(self.events.closed_within(left()).await?, Some(close_code::REVOKED));
        self.stays_shut().await
    }

    async fn stays_shut(&mut self) -> Result<()> {
        let refused = self.terminal.reopen().await.unwrap_err().downcast::<Refused>()?;
        assert_eq!(refused.status.as_u16(), 401);
        let origin = self.terminal.origin().to_owned();
        let path = routes::WORKSPACE_SOCKET.fill(&[&self.workspace]);
        let offer = format!("ringfence.v1, {}", self.token.expose());
        let request = Raw::get(format!("{origin}{path}")).header("origin", &origin).upgrade(Some(&offer));
        assert_eq!(request.send(&http()).await?.code(), Some(ErrorCode::TokenInvalid));
        Ok(())
    }
}

async fn refuses(client: &Client, endpoint: &Endpoint) -> Result<()> {
    let error = client.call::<serde_json::Value>(endpoint, &[]).await.unwrap_err();
    assert_eq!(error.downcast::<Refused>()?.code(), Some(ErrorCode::Unauthenticated));
    Ok(())
}

#[tokio::test]
async fn what_a_session_or_token_had_open_closes_with_it_and_nothing_else_does() -> Result<()> {
    let stage = Stage::start().await?;
    let first = stage.member("owner").await?;
    let workspace = first.running_workspace(stage.cloud_key()).await?.1.id;
    let second = stage.again(first.user).await?;
    let third = stage.again(first.user).await?;
    let token = third.api_token("program").await?;
    let program = third.client.with_api_token(&token.secret)?;
    let mut of_first = Viewing::open(&first.client, workspace).await?;
    let mut of_second = Viewing::open(&second.client, workspace).await?;
    let mut of_third = Viewing::open(&third.client, workspace).await?;
    let mut of_program = Viewing::open(&program, workspace).await?;

    let started = Instant::now();
    first.client.act(&routes::SIGN_OUT, &[]).await?;
    of_first.ends_before(started + PROMISED).await?;
    refuses(&first.client, &routes::ME).await?;
    of_second.is_alive().await?;
    of_program.is_alive().await?;

    let started = Instant::now();
    third.client.act(&routes::SESSION_REVOKE, &[&second.session]).await?;
    of_second.ends_before(started + PROMISED).await?;
    refuses(&second.client, &routes::ME).await?;
    of_program.is_alive().await?;

    let started = Instant::now();
    third.client.act(&routes::TOKEN_REVOKE, &[&token.token.id]).await?;
    of_program.ends_before(started + PROMISED).await?;
    refuses(&program, &routes::ME).await?;
    of_third.is_alive().await?;
    let open = "SELECT count(*) FROM revocations WHERE fanned_out_at_ms IS NULL";
    assert_eq!(stage.count(open, &[]).await?, 0, "each was carried to the node and marked so");
    stage.stop().await
}

#[tokio::test]
async fn a_suspended_user_loses_everything_open_and_a_resumed_one_has_their_tokens_back() -> Result<()> {
    let stage = Stage::start().await?;
    let (owner, neighbour) = tokio::try_join!(stage.member("owner"), stage.member("neighbour"))?;
    let (mine, theirs) =
        tokio::try_join!(owner.running_workspace(stage.cloud_key()), neighbour.running_workspace(stage.cloud_key()))?;
    let (workspace, node) = (mine.1.id, mine.1.node.id);
    let token = owner.api_token("program").await?;
    let program = owner.client.with_api_token(&token.secret)?;
    let mut of_neighbour = Viewing::open(&neighbour.client, theirs.1.id).await?;
    let mut of_owner = Viewing::open(&owner.client, workspace).await?;
    // More than once: what was carried to the node the first time must be carried the second time as well.
    for _ in 0..2 {
        let mut of_program = Viewing::open(&program, workspace).await?;
        of_program.is_alive().await?;
        let started = Instant::now();
        stage.admin.client.act(&routes::ADMIN_USER_SUSPEND, &[&owner.user]).await?;
        of_program.ends_before(started + PROMISED).await?;
        refuses(&program, &routes::ME).await?;
        refuses(&owner.client, &routes::ME).await?;
        of_neighbour.is_alive().await?;
        stage.link_is(node, true).await?;

        stage.admin.client.act(&routes::ADMIN_USER_RESUME, &[&owner.user]).await?;
        let me: MeView = program.me().await?;
        assert_eq!(me.user.id, owner.user);
    }
    assert_eq!(of_owner.terminal.wait_for_close(PROMISED).await?.0, close_code::REVOKED);
    of_owner.stays_shut().await?;
    refuses(&owner.client, &routes::ME).await?;

    let mut of_program = Viewing::open(&program, workspace).await?;
    of_program.is_alive().await?;
    let again = stage.again(owner.user).await?;
    let started = Instant::now();
    again.client.act(&routes::TOKEN_REVOKE, &[&token.token.id]).await?;
    of_program.ends_before(started + PROMISED).await?;
    stage.stop().await
}

#[tokio::test]
async fn a_session_that_ends_by_itself_closes_what_it_has_open() -> Result<()> {
    let stage = Stage::start().await?;
    let owner = stage.member("owner").await?;
    let workspace = owner.running_workspace(stage.cloud_key()).await?.1.id;
    let short = stage.again(owner.user).await?;
    let life = Duration::from_secs(5);
    let ends_at = clock::now() + life;
    let row = [json!(short.session), json!(ends_at.get())];
    stage.stack.d1("UPDATE sessions SET expires_at_ms = ?2 WHERE id = ?1", &row).await?;
    let deadline = Instant::now() + life + PROMISED;
    let mut of_short = Viewing::open(&short.client, workspace).await?;
    let mut of_owner = Viewing::open(&owner.client, workspace).await?;
    of_short.is_alive().await?;
    of_short.ends_before(deadline).await?;
    assert!(clock::now() >= ends_at, "not before its time");
    of_owner.is_alive().await?;
    stage.stop().await
}

#[tokio::test]
async fn a_read_only_token_shows_and_takes_nothing() -> Result<()> {
    let stage = Stage::start().await?;
    let owner = stage.member("owner").await?;
    let workspace = owner.running_workspace(stage.cloud_key()).await?.1.id;
    let permissions = Some(vec![ringfence_protocol::state::Permission::TerminalRead]);
    let token = owner.client.workspace_token(workspace, permissions).await?;
    let mut onlooker = Terminal::open(&stage.origin(), workspace, token, Screen::default()).await?;
    assert!(onlooker.opened().read_only);
    let mut typist = owner.client.open_terminal(workspace).await?;
    onlooker.type_line("echo from the \"\"onlooker").await.ok();
    typist.type_line("echo from the \"\"typist").await?;
    let seen = typist.wait_for("from the typist", LIMIT).await?;
    assert!(!String::from_utf8_lossy(&seen).contains("onlooker"), "what an onlooker types goes nowhere");
    stage.stop().await
}
