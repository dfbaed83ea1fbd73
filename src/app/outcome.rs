//! What a node's object is to do after a use case about its node, and what it must give to one.

use std::future::Future;

use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::link::ControlMessage;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventView;

use crate::domain::node::{Deletion, InstanceId};
use crate::domain::ticket::DestroyTicket;
use crate::error::Result;
use crate::ports::Statement;
use crate::provider::{self, CreateInstance, Instance, Inventory, Mark, Provider, ProviderError};
use crate::store::credentials::CredentialRow;
use crate::store::nodes::NodeRow;

/// What is to be done now: all of it is stored already, so that losing it loses nothing for good.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Driven {
    /// When to drive the node next: set the alarm to this or earlier. None when there is nothing to add.
    pub next_wake: Option<UnixMillis>,
    /// Send these over the link, in order, if there is one. After every hello what is still owed comes again.
    pub to_agent: Vec<Outgoing>,
    /// Close the agent's link and every viewer: the node ends or is not trusted any more.
    pub close_all: bool,
    /// Close the viewers of these workspaces.
    pub close_viewers: Vec<WorkspaceId>,
    /// Show these to whoever looks on. They are stored.
    pub events: Vec<EventView>,
    /// What to keep in the object's own storage, in place of the one before. Given by `drive_node` for as long as there may
    /// be a machine.
    pub ticket: Option<DestroyTicket>,
    /// There is no such node, or its machine is gone for good: forget the ticket and set no alarm.
    pub gone: bool,
    /// There is no row of such a node: there never will be, or it is about to be written.
    pub unwritten: bool,
    /// The report came from an agent whose credentials do not hold any more: close that link.
    pub refused: bool,
}

/// A message to an agent. What of it is secret is put in when it is sent ([`super::secrets::complete`]) and not before: until
/// then nobody who holds, compares or logs a message holds a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The message, without secrets.
    pub message: ControlMessage,
    /// Whose secrets belong into it, if any's.
    pub secrets_of: Option<WorkspaceId>,
}

impl From<ControlMessage> for Outgoing {
    fn from(message: ControlMessage) -> Self {
        Self { message, secrets_of: None }
    }
}

/// What a node asks of its provider.
pub trait Cloud {
    /// Asks for a machine.
    fn create(&self, order: &CreateInstance<'_>) -> impl Future<Output = provider::Result<Instance>>;
    /// Looks at one machine.
    fn get(&self, id: &InstanceId) -> impl Future<Output = provider::Result<Option<Instance>>>;
    /// The machines that carry the node's name or label.
    fn find(&self, node: NodeId) -> impl Future<Output = provider::Result<Vec<Instance>>>;
    /// Asks for the deletion of a machine that proves to carry the mark; another one is left alone.
    fn delete(&self, mark: &Mark, id: &InstanceId) -> impl Future<Output = provider::Result<Deletion>>;
    /// The installation's machines in this account.
    fn list(&self, installation: &str) -> impl Future<Output = provider::Result<Inventory>>;
}

/// Opens users' accounts for a sweep.
pub trait Accounts {
    /// The provider's client.
    type Cloud: Cloud;

    /// The account that a credential opens. One that does not open is [`provider::ErrorClass::Auth`].
    fn account(&self, credential: &CredentialRow) -> provider::Result<Self::Cloud>;
}

impl Cloud for Provider {
    async fn create(&self, order: &CreateInstance<'_>) -> provider::Result<Instance> {
        Provider::create(self, order).await
    }
    async fn get(&self, id: &InstanceId) -> provider::Result<Option<Instance>> {
        Provider::get(self, id).await
    }
    async fn find(&self, node: NodeId) -> provider::Result<Vec<Instance>> {
        Provider::find(self, node).await
    }
    async fn delete(&self, mark: &Mark, id: &InstanceId) -> provider::Result<Deletion> {
        Provider::delete(self, mark, id).await
    }
    async fn list(&self, installation: &str) -> provider::Result<Inventory> {
        Provider::list(self, installation).await
    }
}

/// What the shell gives a node that is being driven: the things that need secrets.
pub trait Provisioner {
    /// The provider's client.
    type Cloud: Cloud;

    /// Opens the node's credential ([`NodeRow::sealed`]) and makes a client. Called at most once a drive, and only when a
    /// call is due. A credential that is gone is [`provider::ErrorClass::Auth`].
    fn cloud(&self, node: &NodeRow) -> impl Future<Output = std::result::Result<Self::Cloud, ProviderError>>;

    /// Tells every viewer on the node that it is over. Comes before the call that ends the machine: after it, all they could be
    /// told is that the link is lost, and they would try again.
    fn end_viewers(&self);

    /// Keeps what it takes to delete the node's machine without the database. Comes before the calls that make or delete it: the
    /// database may be away from then on.
    fn keep_ticket(&self, _ticket: &DestroyTicket) -> impl Future<Output = ()> {
        async {}
    }

    /// Mints a bootstrap token and makes the user-data for one create call.
    fn bootstrap(&self, node: &NodeRow, now: UnixMillis) -> impl Future<Output = Result<Bootstrap>>;
}

/// What one create call carries.
pub struct Bootstrap {
    /// The whole user-data document: holds the one-use token.
    pub user_data: String,
    /// The token's row, stored before the call is made.
    pub statements: Vec<Statement>,
}
