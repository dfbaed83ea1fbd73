//! Fields that we do not know are refused in requests, and let through in what peers of another version say.

use ringfence_protocol::agent_config::AgentConfig;
use ringfence_protocol::limits::{CreateTenantParams, LimitAmounts, LimitsParams, MembershipParams, SetLimitsParams};
use ringfence_protocol::link::{AgentMessage, Attach, BootstrapParams, ControlMessage};
use ringfence_protocol::params::{
    CreateApiTokenParams, CreateCredentialParams, CreateUserParams, CreateWorkspaceParams, CreateWorkspaceTokenParams,
    EventsParams, ListParams, RedeemLinkParams, ReplaceCredentialParams,
};
use ringfence_protocol::warm::SetWarmPoolParams;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::examples::id;
use crate::golden_link::{agent_messages, control_messages};
use ringfence_protocol::ids::kind;

/// Accepts `body`, and refuses it with one more field.
fn refuses_more_than<T: DeserializeOwned>(body: Value) {
    let name = std::any::type_name::<T>();
    assert!(serde_json::from_value::<T>(body.clone()).is_ok(), "{name} does not accept {body}");
    let mut more = body;
    more["surprise"] = json!(true);
    let Err(error) = serde_json::from_value::<T>(more) else {
        panic!("{name} accepts a field it does not know");
    };
    assert!(error.to_string().contains("unknown field `surprise`"), "{name}: {error}");
}

#[test]
fn requests_with_unknown_fields_are_refused() {
    refuses_more_than::<RedeemLinkParams>(json!({ "token": "t" }));
    refuses_more_than::<CreateApiTokenParams>(json!({ "name": "ci" }));
    refuses_more_than::<CreateCredentialParams>(json!({ "provider": "hetzner", "secret": "s" }));
    refuses_more_than::<ReplaceCredentialParams>(json!({ "secret": "s" }));
    refuses_more_than::<CreateWorkspaceParams>(json!({}));
    refuses_more_than::<CreateWorkspaceTokenParams>(json!({}));
    refuses_more_than::<CreateUserParams>(json!({ "name": "Ada" }));
    refuses_more_than::<CreateTenantParams>(json!({ "name": "Acme" }));
    refuses_more_than::<MembershipParams>(json!({ "tenant_id": id::<kind::Tenant>(2), "role": "member" }));
    refuses_more_than::<LimitsParams>(json!({ "scope": "user" }));
    refuses_more_than::<SetLimitsParams>(json!({ "scope": "user", "limits": {} }));
    refuses_more_than::<LimitAmounts>(json!({ "nodes": 3 }));
    refuses_more_than::<SetWarmPoolParams>(json!({ "minimum": 1 }));
    refuses_more_than::<ListParams>(json!({}));
    refuses_more_than::<EventsParams>(json!({}));
    refuses_more_than::<Attach>(json!({ "viewer": id::<kind::Viewer>(1) }));
    refuses_more_than::<BootstrapParams>(json!({ "protocol_version": 1, "agent_sha256": "00" }));
    refuses_more_than::<AgentConfig>(json!({
        "node_id": id::<kind::Node>(1),
        "origin": "http://127.0.0.1:1",
        "keys": { "keys": [] },
        "engine": "unconfined: workspaces are plain processes without any isolation",
    }));
}

#[test]
fn an_engine_without_isolation_is_chosen_in_words_only() {
    for engine in [json!("unconfined"), json!(true), Value::Null] {
        let config = json!({
            "node_id": id::<kind::Node>(1),
            "origin": "http://127.0.0.1:1",
            "keys": { "keys": [] },
            "engine": engine,
        });
        assert!(serde_json::from_value::<AgentConfig>(config).is_err());
    }
}

/// The control plane speaks to the agents of the version before (N−1), so what is added later must not break them.
#[test]
fn messages_of_the_link_may_gain_fields() {
    for message in agent_messages() {
        let mut more = serde_json::to_value(&message).unwrap();
        more["surprise"] = json!(true);
        assert_eq!(serde_json::from_value::<AgentMessage>(more).unwrap(), message);
    }
    for message in control_messages() {
        let mut more = serde_json::to_value(&message).unwrap();
        more["surprise"] = json!(true);
        assert_eq!(serde_json::from_value::<ControlMessage>(more).unwrap(), message);
    }
}
