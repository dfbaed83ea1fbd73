//! What a node's drive needs secrets for: the provider's client, opened from the sealed credential, and the user-data of a
//! create call with its fresh bootstrap token.

use ringfence_protocol::agent_config::{AgentConfig, AgentLimits, EngineConfig};
use ringfence_protocol::claims::BootstrapClaims;
use ringfence_protocol::ids::{CredentialId, JwtId, UserId};
use ringfence_protocol::state::{EngineChoice, ProviderKind};
use ringfence_protocol::time::UnixMillis;

use super::credentials;
use super::outcome::{Accounts, Bootstrap, Provisioner};
use crate::config::Config;
use crate::domain::seal::{self, Sealed, SealedRow};
use crate::domain::ticket::DestroyTicket;
use crate::domain::{token, user_data};
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::provider::{self, ErrorClass, Provider, ProviderError};
use crate::store::bootstrap;
use crate::store::credentials::CredentialRow;
use crate::store::nodes::NodeRow;

/// Gives secrets to the drive of a node.
pub struct NodeProvisioner<'a, P, O> {
    platform: &'a P,
    config: &'a Config,
    object: &'a O,
}

/// What the node's object does for a drive.
pub trait Object {
    /// Tells every viewer on the node that it is over.
    fn end_viewers(&self);
    /// Keeps the ticket in the object's own storage.
    fn keep_ticket(&self, ticket: &DestroyTicket) -> impl Future<Output = ()>;
}

impl<'a, P: Platform, O: Object> NodeProvisioner<'a, P, O> {
    /// For one drive.
    pub fn new(platform: &'a P, config: &'a Config, object: &'a O) -> Self {
        Self { platform, config, object }
    }
}

impl<P: Platform, O: Object> Provisioner for NodeProvisioner<'_, P, O> {
    type Cloud = Provider;

    async fn cloud(&self, node: &NodeRow) -> provider::Result<Provider> {
        let sealed = node.sealed().ok_or_else(cannot_open)?;
        open_account(self.config, node.provider, node.user_id, node.credential_id, &sealed)
    }

    fn end_viewers(&self) {
        self.object.end_viewers();
    }

    async fn keep_ticket(&self, ticket: &DestroyTicket) {
        self.object.keep_ticket(ticket).await;
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
            dead_man_after_secs: Some(self.config.settings.timing.dead_man_after.as_secs()),
            hard_deadline_at: Some(node.node().hard_deadline),
            limits: AgentLimits {
                max_cpu_percent: self.config.settings.max_cpu_percent,
                max_memory_percent: self.config.settings.max_memory_percent,
                keep_awake_max_secs: self.config.settings.patience.keep_alive_max,
            },
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

/// The account of a ticket.
pub fn account_of_ticket(config: &Config, ticket: &DestroyTicket) -> provider::Result<Provider> {
    let sealed = Sealed { version: ticket.seal_version, text: ticket.sealed_secret.clone() };
    open_account(config, ticket.provider, ticket.user_id, ticket.credential_id, &sealed)
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
