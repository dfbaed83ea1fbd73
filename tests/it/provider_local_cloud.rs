//! The Hetzner provider against the local cloud, over a socket.

use ringfence::domain::node::{Deletion, InstanceId};
use ringfence::provider::{CreateInstance, ErrorClass, Mark, Provider, ProviderKey, machine_name};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::params::SecretText;
use ringfence_protocol::state::ProviderKind;
use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough for a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// A local cloud in this process.
struct LocalCloud {
    url: String,
    end: oneshot::Sender<()>,
    served: JoinHandle<()>,
    _state: TempDir,
}

impl LocalCloud {
    async fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        // Machines without an agent's configuration run nothing.
        let settings = local_cloud::Settings::new(state.path(), "/bin/true", vec!["key".into()]);
        let cloud = local_cloud::Cloud::open(settings).await.unwrap();
        let listener = local_cloud::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (end, until) = oneshot::channel();
        let served = tokio::spawn(local_cloud::serve(cloud, listener, async {
            let _ = until.await;
        }));
        Self { url, end, served, _state: state }
    }

    fn account(&self, key: &str) -> Provider {
        Provider::new(ProviderKind::Hetzner, &self.url, ProviderKey::new(&SecretText::new(key.into())))
    }

    async fn order_fault(&self, order: serde_json::Value) {
        let request = reqwest::Client::new().post(format!("{}/_faults", self.url));
        let request = request.header("content-type", "application/json").body(order.to_string());
        assert!(request.send().await.unwrap().status().is_success());
    }

    async fn end(self) {
        self.end.send(()).unwrap();
        self.served.await.unwrap();
    }
}

fn mark(seed: u8) -> Mark {
    Mark { installation: "test1".into(), node: NodeId::from_entropy([seed; 13]) }
}

fn order(mark: &Mark) -> CreateInstance<'_> {
    CreateInstance { mark, region: "fsn1", size: "cx23", image: None, user_data: "" }
}

async fn until_gone(account: &Provider, id: &InstanceId) {
    let gone = async {
        while account.get(id).await.unwrap().is_some() {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the machine is gone");
}

#[tokio::test]
async fn a_machine_lives_from_order_to_deletion() {
    let cloud = LocalCloud::new().await;
    let (account, mark) = (cloud.account("key"), mark(1));
    account.validate().await.unwrap();
    let made = account.create(&order(&mark)).await.unwrap();
    assert_eq!((made.name.as_str(), made.node()), (machine_name(mark.node).as_str(), Some(mark.node)));
    assert!(made.created_at.is_some());

    let seen = account.get(&made.id).await.unwrap().unwrap();
    assert_eq!(seen.labels, mark.labels());
    let found = account.find(mark.node).await.unwrap();
    assert_eq!(found.iter().map(|instance| &instance.id).collect::<Vec<_>>(), [&made.id]);
    assert_eq!(account.list("test1").await.unwrap().instances.len(), 1);
    assert!(account.list("another").await.unwrap().instances.is_empty());

    assert_eq!(account.delete(&mark, &made.id).await.unwrap(), Deletion::Accepted);
    until_gone(&account, &made.id).await;
    assert_eq!(account.delete(&mark, &made.id).await.unwrap(), Deletion::NotFound);
    assert!(account.find(mark.node).await.unwrap().is_empty());
    cloud.end().await;
}

#[tokio::test]
async fn a_machine_whose_answer_was_lost_is_found_and_never_made_twice() {
    let cloud = LocalCloud::new().await;
    let (account, mark) = (cloud.account("key"), mark(2));
    cloud.order_fault(json!({ "on": "create_server", "fault": "lose_answer_after_effect" })).await;
    assert_eq!(account.create(&order(&mark)).await.unwrap_err().class, ErrorClass::Unknown);
    assert_eq!(account.create(&order(&mark)).await.unwrap_err().class, ErrorClass::NameTaken);
    assert_eq!(account.find(mark.node).await.unwrap().len(), 1);
    cloud.end().await;
}

#[tokio::test]
async fn an_order_that_was_lost_on_the_way_left_nothing_behind() {
    let cloud = LocalCloud::new().await;
    let (account, mark) = (cloud.account("key"), mark(3));
    cloud.order_fault(json!({ "on": "create_server", "fault": "lose_answer_before_effect" })).await;
    assert_eq!(account.create(&order(&mark)).await.unwrap_err().class, ErrorClass::Unknown);
    assert!(account.find(mark.node).await.unwrap().is_empty());
    cloud.end().await;
}

#[tokio::test]
async fn faults_on_order_have_their_class() {
    let cloud = LocalCloud::new().await;
    let (account, mark) = (cloud.account("key"), mark(4));
    cloud.order_fault(json!({ "on": "create_server", "fault": "resource_unavailable" })).await;
    assert_eq!(account.create(&order(&mark)).await.unwrap_err().class, ErrorClass::Capacity);
    cloud.order_fault(json!({ "on": "create_server", "fault": "rate_limited", "retry_after_secs": 7 })).await;
    let error = account.create(&order(&mark)).await.unwrap_err();
    assert_eq!((error.class, error.retry_after.map(|wait| wait.as_secs())), (ErrorClass::RateLimited, Some(7)));
    let elsewhere = CreateInstance { region: "moon1", ..order(&mark) };
    assert_eq!(account.create(&elsewhere).await.unwrap_err().class, ErrorClass::Invalid);
    cloud.end().await;
}

#[tokio::test]
async fn the_catalog_offers_what_the_cloud_sells_without_what_is_deprecated() {
    let cloud = LocalCloud::new().await;
    let catalog = cloud.account("key").catalog().await.unwrap();
    assert!(catalog.price("cx23", "fsn1").is_some());
    assert!(catalog.price("cx22", "fsn1").is_none(), "cx22 is deprecated");
    assert!(catalog.price("cax11", "ash").is_none(), "not sold there");
    assert_eq!(catalog.currency, "EUR");
    cloud.end().await;
}

#[tokio::test]
async fn an_unknown_key_is_refused() {
    let cloud = LocalCloud::new().await;
    assert_eq!(cloud.account("another").validate().await.unwrap_err().class, ErrorClass::Auth);
    cloud.end().await;
}
