//! A workspace's secrets: sealed when it is created, opened when its agent is told to make it, never in between.

use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::{UserId, WorkspaceId};
use ringfence_protocol::link::ControlMessage;
use ringfence_protocol::params::SecretText;

use super::outcome::Outgoing;
use crate::domain::keyring::Keyring;
use crate::domain::seal::{self, Sealed, SealedRow};
use crate::error::{Error, Result};
use crate::ports::{Entropy, Platform};
use crate::store::one;
use crate::store::workspaces::{self, SecretsRow};

/// Seals what of a new workspace is secret; `None` when nothing is.
pub(super) fn sealed(
    p: &impl Entropy,
    keyring: &Keyring,
    user: UserId,
    workspace: WorkspaceId,
    secrets: &WorkspaceSecrets,
) -> Result<Option<Sealed>> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_string(secrets).map_err(|_| Error::internal("secrets cannot be written as JSON"))?;
    seal::seal(keyring, user, SealedRow::Workspace(workspace), &SecretText::new(json), p.bytes())
        .map(Some)
        .ok_or_else(|| Error::internal("cannot seal secrets"))
}

/// The message with its secrets in it. `None` when its workspace is over by now: there is nothing to make any more. Secrets that
/// do not open are an error: a workspace is never made without those it was promised.
pub async fn complete(p: &impl Platform, keyring: &Keyring, outgoing: &Outgoing) -> Result<Option<ControlMessage>> {
    let Some(workspace) = outgoing.secrets_of else { return Ok(Some(outgoing.message.clone())) };
    let Some(row) = one::<SecretsRow>(p, workspaces::sealed_secrets(workspace)).await? else { return Ok(None) };
    let cannot_open = || Error::internal(format!("secrets of {workspace} do not open: was their seal key removed?"));
    let text =
        seal::open(keyring, row.user_id, SealedRow::Workspace(workspace), &row.sealed()).map_err(|_| cannot_open())?;
    let opened: WorkspaceSecrets = serde_json::from_str(text.expose()).map_err(|_| cannot_open())?;
    Ok(match outgoing.message.clone() {
        ControlMessage::EnsureWorkspace { workspace_id, spec_generation, spec, secrets: _ } => {
            Some(ControlMessage::EnsureWorkspace { workspace_id, spec_generation, spec, secrets: opened })
        }
        message @ (ControlMessage::Welcome { .. }
        | ControlMessage::RemoveWorkspace { .. }
        | ControlMessage::OpenChannel(_)
        | ControlMessage::CloseChannel { .. }
        | ControlMessage::SaveAll
        | ControlMessage::Revoke { .. }) => Some(message),
    })
}
