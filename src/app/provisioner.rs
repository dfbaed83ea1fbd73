//! What a node's drive needs secrets for: the provider's client, opened from the sealed credential, and the user-data of a
//! create call with its fresh bootstrap token.

use ringfence_protocol::agent_config::{AgentConfig, EngineConfig};
use ringfence_protocol::claims::BootstrapClaims;
use ringfence_protocol::ids::{CredentialId, JwtId, UserId};
use ringfence_protocol::state::{EngineChoice, ProviderKind};
use ringfence_protocol::time::UnixMillis;

use super::credentials;
use super::outcome::{Accounts, Bootstrap, Cloud, Provisioner};
use crate::config::Config;
use crate::domain::seal::{self, Sealed, SealedRow};
use crate::domain::ticket::DestroyTicket;
use crate::domain::{token, user_data};
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::provider::{self, ErrorClass, Mark, Provider, ProviderError};
use crate::store::bootstrap;
use crate::store::credentials::CredentialRow;
use crate::store::nodes::NodeRow;

/// Gives secrets to the drive of a node.
pub struct NodeProvisioner<'a, P> {
    platform: &'a P,
    config: &'a Config,
    end_viewers: &'a dyn Fn(),
}

impl<'a, P: Platform> NodeProvisioner<'a, P> {
    /// For one drive.
    pub fn new(platform: &'a P, config: &'a Config, end_viewers: &'a dyn Fn()) -> Self {
        Self { platform, config, end_viewers }
    }
}

impl<P: Platform> Provisioner for NodeProvisioner<'_, P> {
    type Cloud = Provider;

    async fn cloud(&self, node: &NodeRow) -> provider::Result<Provider> {
        let sealed = node.sealed().ok_or_else(cannot_open)?;
        open_account(self.config, node.provider, node.user_id, node.credential_id, &sealed)
    }

    fn end_viewers(&self) {
        (self.end_viewers)();
    }

    async fn bootstrap(&self, node: &NodeRow, now: UnixMillis) -> Result<Bootstrap> {
        let engine = match node.engine_choice() {
            EngineChoice::Unconfined => EngineConfig::Unconfined,
            EngineChoice::Containers => EngineConfig::Containers,
        };
        let jti: JwtId = self.platform.id();
        let claims = BootstrapClaims { jti, node: node.id };
        let (token, expires_at) = token::sign(&self.config.keyring, self.config.origin(), claims, now)
            .ok_or_else(|| Error::internal("cannot sign a bootstrap token"))?;
        let agent = AgentConfig {
            node_id: node.id,
            origin: self.config.origin().to_owned(),
            keys: self.config.keyring.jwks(),
            bootstrap_token: Some(token),
            engine,
        };
        let agent_sha256 = match node.engine_choice() {
            EngineChoice::Containers => self.config.published_agent()?,
            // There the agent is on the machine already, and user-data names none.
            EngineChoice::Unconfined => "",
        };
        let boot = user_data::Boot { agent: &agent, agent_sha256 };
        let user_data =
            user_data::cloud_config(&boot).map_err(|error| Error::internal(format!("user-data: {error:?}")))?;
        Ok(Bootstrap { user_data, statements: vec![bootstrap::insert(jti, node.id, expires_at)] })
    }
}

/// Deletes a machine with nothing but the ticket that its object keeps: for when the database is away.
pub async fn destroy_by_ticket(config: &Config, ticket: &DestroyTicket) -> provider::Result<()> {
    let sealed = Sealed { version: ticket.seal_version, text: ticket.sealed_secret.clone() };
    let account = open_account(config, ticket.provider, ticket.user_id, ticket.credential_id, &sealed)?;
    let installation = ticket.installation.as_ref().unwrap_or(&config.installation_id).clone();
    destroy_marked(&account, &Mark { installation, node: ticket.node_id }).await
}

/// Deletes what carries a node's mark, whatever id was recorded: a ticket may be older than an adoption.
pub async fn destroy_marked(cloud: &impl Cloud, mark: &Mark) -> provider::Result<()> {
    for instance in cloud.find(mark.node).await? {
        cloud.delete(mark, &instance.id).await?;
    }
    Ok(())
}

/// Opens users' accounts for a sweep.
pub struct Vault<'a>(pub &'a Config);

impl Accounts for Vault<'_> {
    type Cloud = Provider;

    fn account(&self, credential: &CredentialRow) -> provider::Result<Provider> {
        open_account(self.0, credential.provider, credential.user_id, credential.id, &credential.sealed())
    }
}

fn open_account(
    config: &Config,
    kind: ProviderKind,
    user: UserId,
    credential: CredentialId,
    sealed: &Sealed,
) -> provider::Result<Provider> {
    let secret =
        seal::open(&config.keyring, user, SealedRow::Credential(credential), sealed).map_err(|_| cannot_open())?;
    Ok(credentials::account(config, kind, &secret))
}

fn cannot_open() -> ProviderError {
    ProviderError {
        class: ErrorClass::Auth,
        code: "cannot_open".into(),
        message: "the credential does not open: was it deleted, or its seal key removed?".into(),
        retry_after: None,
    }
}
