//! A user with a browser: the client of the API, and the secrets a browser would keep to itself.

use anyhow::{Context, Result};
use reqwest::header::{ORIGIN, SET_COOKIE};
use ringfence_protocol::ids::{CredentialId, SessionId, UserId};
use ringfence_protocol::params::{CreateApiTokenParams, CreateWorkspaceParams, SecretText};
use ringfence_protocol::routes;
use ringfence_protocol::state::WorkspaceState;
use ringfence_protocol::views::{CreatedApiTokenView, MeView, WorkspaceView};
use serde_json::json;
use xtask::client::Client;

/// A signed-in user.
pub struct Person {
    pub client: Client,
    /// The value of the session cookie.
    pub cookie: String,
    pub user: UserId,
    pub session: SessionId,
}

impl Person {
    /// Opens a sign-in link as a browser does.
    pub async fn sign_in(origin: &str, link: &str) -> Result<Self> {
        let (_, token) = link.rsplit_once("#token=").context("a link without a token")?;
        let url = format!("{origin}{}", routes::AUTH_LINK.path);
        let request = reqwest::Client::new().post(url).header(ORIGIN, origin).json(&json!({ "token": token }));
        let answer = request.send().await?.error_for_status()?;
        let cookie = answer.headers().get(SET_COOKIE).context("no cookie")?.to_str()?;
        let cookie = cookie.split(';').next().and_then(|pair| pair.strip_prefix("__Host-session="));
        let cookie = cookie.context("another cookie")?.to_owned();
        let client = Client::new(origin).with_session(&SecretText::new(cookie.clone()))?;
        let me: MeView = client.me().await?;
        Ok(Self { client, cookie, user: me.user.id, session: me.session_id.context("no session")? })
    }

    /// Makes an API token.
    pub async fn api_token(&self, name: &str) -> Result<CreatedApiTokenView> {
        let params = CreateApiTokenParams { name: name.into(), expires_in_secs: None };
        self.client.send(&routes::TOKEN_CREATE, &[], &params).await
    }

    /// Stores the cloud's key and creates a workspace that runs.
    pub async fn running_workspace(&self, cloud_key: &str) -> Result<(CredentialId, WorkspaceView)> {
        let credential = self.client.create_credential(cloud_key).await?.id;
        let params = CreateWorkspaceParams { credential_id: Some(credential), ..CreateWorkspaceParams::default() };
        let workspace = self.client.create_workspace(&params).await?;
        Ok((credential, self.client.workspace_in(workspace.id, WorkspaceState::Running).await?))
    }
}
