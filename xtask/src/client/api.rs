//! The calls that a newcomer makes, by name. The rest goes through [`Client::call`] and [`Client::send`].

use std::time::Duration;

use anyhow::{Result, bail};
use ringfence_protocol::ids::{CredentialId, NodeId, UserId, WorkspaceId};
use ringfence_protocol::params::{
    CreateCredentialParams, CreateUserParams, CreateWorkspaceParams, CreateWorkspaceTokenParams, SecretText,
};
use ringfence_protocol::routes;
use ringfence_protocol::state::{NodeState, Permission, ProviderKind, WorkspaceState};
use ringfence_protocol::views::{
    CredentialView, MeView, NodeView, Page, SignInLinkView, UserView, WorkspaceTokenView, WorkspaceView,
};

use super::{Client, Screen, Terminal, until_some};

/// Longer than any step of a boot takes on a busy machine; tests that expect a failure wait for that instead.
const READY_LIMIT: Duration = Duration::from_secs(60);

impl Client {
    /// Who is signed in.
    pub async fn me(&self) -> Result<MeView> {
        self.call(&routes::ME, &[]).await
    }

    /// Creates a user; for administrators.
    pub async fn create_user(&self, name: &str) -> Result<UserView> {
        self.send(
            &routes::ADMIN_USER_CREATE,
            &[],
            &CreateUserParams { name: name.to_owned(), role: None, tenant_id: None },
        )
        .await
    }

    /// Makes a sign-in link for a user and signs them in; for administrators.
    pub async fn sign_in_as(&self, user: UserId) -> Result<Self> {
        let link: SignInLinkView = self.call(&routes::ADMIN_USER_LINK, &[&user]).await?;
        Self::sign_in(self.origin(), link.url.expose()).await
    }

    /// Stores a key for the local cloud.
    pub async fn create_credential(&self, secret: &str) -> Result<CredentialView> {
        let secret = SecretText::new(secret.to_owned());
        let params = CreateCredentialParams { provider: ProviderKind::Hetzner, name: None, secret };
        self.send(&routes::CREDENTIAL_CREATE, &[], &params).await
    }

    /// Forgets a key.
    pub async fn delete_credential(&self, id: CredentialId) -> Result<()> {
        self.act(&routes::CREDENTIAL_DELETE, &[&id]).await
    }

    /// Creates a workspace.
    pub async fn create_workspace(&self, params: &CreateWorkspaceParams) -> Result<WorkspaceView> {
        self.send(&routes::WORKSPACE_CREATE, &[], params).await
    }

    /// One workspace.
    pub async fn workspace(&self, id: WorkspaceId) -> Result<WorkspaceView> {
        self.call(&routes::WORKSPACE_GET, &[&id]).await
    }

    /// The first page of workspaces.
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceView>> {
        Ok(self.call::<Page<_>>(&routes::WORKSPACES_LIST, &[]).await?.items)
    }

    /// Deletes a workspace.
    pub async fn delete_workspace(&self, id: WorkspaceId) -> Result<()> {
        self.act(&routes::WORKSPACE_DELETE, &[&id]).await
    }

    /// One node.
    pub async fn node(&self, id: NodeId) -> Result<NodeView> {
        self.call(&routes::NODE_GET, &[&id]).await
    }

    /// The first page of nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeView>> {
        Ok(self.call::<Page<_>>(&routes::NODES_LIST, &[]).await?.items)
    }

    /// Destroys a node.
    pub async fn delete_node(&self, id: NodeId) -> Result<()> {
        self.act(&routes::NODE_DELETE, &[&id]).await
    }

    /// Waits for a workspace to be in a state; fails early when it can no longer get there.
    pub async fn workspace_in(&self, id: WorkspaceId, state: WorkspaceState) -> Result<WorkspaceView> {
        until_some(&format!("workspace {id} to be {state}"), READY_LIMIT, async || {
            let view = self.workspace(id).await?;
            if view.state == state {
                return Ok(Some(view));
            }
            if matches!(view.state, WorkspaceState::Failed | WorkspaceState::Gone) {
                bail!("workspace {id} is {}: {}", view.state, view.reason);
            }
            Ok(None)
        })
        .await
    }

    /// Waits for a node to be in a state; fails early when it is gone instead.
    pub async fn node_in(&self, id: NodeId, state: NodeState) -> Result<NodeView> {
        until_some(&format!("node {id} to be {state}"), READY_LIMIT, async || {
            let view = self.node(id).await?;
            if view.state == state {
                return Ok(Some(view));
            }
            if view.state == NodeState::Gone {
                bail!("node {id} is gone: {}", view.reason);
            }
            Ok(None)
        })
        .await
    }

    /// A token that opens sockets to a workspace.
    pub async fn workspace_token(&self, id: WorkspaceId, permissions: Option<Vec<Permission>>) -> Result<SecretText> {
        let params = CreateWorkspaceTokenParams { permissions };
        Ok(self.send::<WorkspaceTokenView>(&routes::WORKSPACE_TOKEN, &[&id], &params).await?.token)
    }

    /// Opens the main terminal of a workspace, to read and write.
    pub async fn open_terminal(&self, id: WorkspaceId) -> Result<Terminal> {
        let token = self.workspace_token(id, None).await?;
        Terminal::open(self.origin(), id, token, Screen::default()).await
    }
}
