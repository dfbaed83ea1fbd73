//! Identifiers, instants, amounts and the words of the enums.

use std::fmt::Display;

use ringfence_protocol::ids::{GrantId, UserId, kind};
use ringfence_protocol::money::Micros;
use ringfence_protocol::state::{
    ActivityCause, BootFailure, EndingCause, EngineChoice, EngineKind, Isolation, LimitMeasure, LimitScope,
    NetworkMode, NodeHealth, NodePolicy, NodeState, Permission, PostureOutcome, ProviderKind, QuotaKind, Role,
    SaveOutcome, UserState, WorkspaceFailure, WorkspaceState,
};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION, SUBPROTOCOL, link, terminal};

use crate::examples::{Pinned, at, euros, id};

#[test]
fn identifiers_keep_their_form() {
    let mut pinned = Pinned::default();
    pinned.json("user", &id::<kind::User>(1));
    pinned.json("tenant", &id::<kind::Tenant>(2));
    pinned.json("node", &id::<kind::Node>(3));
    pinned.json("workspace", &id::<kind::Workspace>(4));
    pinned.json("credential", &id::<kind::Credential>(5));
    pinned.json("session", &id::<kind::Session>(6));
    pinned.json("api_token", &id::<kind::ApiToken>(7));
    pinned.json("jwt", &id::<kind::Jwt>(8));
    pinned.json("sign_in_link", &id::<kind::SignInLink>(9));
    pinned.json("viewer", &id::<kind::Viewer>(255));
    pinned.json("gateway_token", &id::<kind::GatewayToken>(10));
    pinned.json("grant of a session", &GrantId::Session(id(6)));
    pinned.json("grant of an api token", &GrantId::ApiToken(id(7)));
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn an_identifier_of_one_kind_is_not_one_of_another() {
    let node = id::<kind::Node>(3).to_string();
    assert!(node.parse::<UserId>().is_err());
    assert!(serde_json::from_value::<UserId>(node.into()).is_err());
}

#[test]
fn instants_and_amounts_keep_their_form() {
    let mut pinned = Pinned::default();
    pinned.json("instant", &at(0));
    pinned.json("epoch", &UnixMillis::new(0));
    pinned.json("last instant", &UnixMillis::new(i64::MAX));
    pinned.json("price", &euros(6_600));
    pinned.json("whole amount", &euros(12_000_000));
    pinned.json("smallest amount", &euros(1));
    pinned.json("millionths", &Micros(6_600));
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn instants_are_read_with_any_offset_and_written_in_utc() {
    let read: UnixMillis = serde_json::from_str(r#""2026-11-22T10:00:00.25+02:00""#).unwrap();
    assert_eq!(read.to_string(), "2026-11-22T08:00:00.250Z");
}

#[test]
fn a_price_is_never_understated() {
    assert_eq!(Micros::parse("0.0066001190"), Some(Micros(6_601)));
    assert_eq!(Micros::parse("0.0066000000"), Some(Micros(6_600)));
    assert_eq!(Micros(6_600).per_hour_for(1), Micros(1));
    assert_eq!(Micros(6_600).per_hour_for(3_600_000), Micros(6_600));
}

#[test]
fn words_and_limits_keep_their_values() {
    fn words<T: Display>(all: &[T]) -> String {
        let all: Vec<String> = all.iter().map(T::to_string).collect();
        all.join(" ")
    }
    let mut pinned = Pinned::default();
    pinned.line("NodeState", &words(NodeState::ALL));
    pinned.line("WorkspaceState", &words(WorkspaceState::ALL));
    pinned.line("Isolation", &words(Isolation::ALL));
    pinned.line("NodePolicy", &words(NodePolicy::ALL));
    pinned.line("NodeHealth", &words(NodeHealth::ALL));
    pinned.line("ProviderKind", &words(ProviderKind::ALL));
    pinned.line("EngineKind", &words(EngineKind::ALL));
    pinned.line("EngineChoice", &words(EngineChoice::ALL));
    pinned.line("NetworkMode", &words(NetworkMode::ALL));
    pinned.line("WorkspaceFailure", &words(WorkspaceFailure::ALL));
    pinned.line("BootFailure", &words(BootFailure::ALL));
    pinned.line("PostureOutcome", &words(PostureOutcome::ALL));
    pinned.line("ActivityCause", &words(ActivityCause::ALL));
    pinned.line("EndingCause", &words(EndingCause::ALL));
    pinned.line("SaveOutcome", &words(SaveOutcome::ALL));
    pinned.line("Permission", &words(Permission::ALL));
    pinned.line("Role", &words(Role::ALL));
    pinned.line("LimitScope", &words(LimitScope::ALL));
    pinned.line("LimitMeasure", &words(LimitMeasure::ALL));
    pinned.line("QuotaKind", &words(QuotaKind::ALL));
    pinned.line("UserState", &words(UserState::ALL));
    pinned.line("PROTOCOL_VERSION", &PROTOCOL_VERSION.to_string());
    pinned.line("SUBPROTOCOL", SUBPROTOCOL);
    pinned.line("MAX_MESSAGE_BYTES", &MAX_MESSAGE_BYTES.to_string());
    pinned.line("WINDOW_BYTES", &terminal::WINDOW_BYTES.to_string());
    pinned.line("RING_BYTES", &terminal::RING_BYTES.to_string());
    pinned.line("MAX_DATA_BYTES", &terminal::MAX_DATA_BYTES.to_string());
    pinned.line("PING", link::PING);
    pinned.line("PONG", link::PONG);
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn every_word_is_read_back_and_serialised_as_itself() {
    for state in NodeState::ALL {
        assert_eq!(state.as_str().parse(), Ok(*state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for state in WorkspaceState::ALL {
        assert_eq!(state.as_str().parse(), Ok(*state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for permission in Permission::ALL {
        assert_eq!(permission.as_str().parse(), Ok(*permission));
        assert_eq!(serde_json::to_value(permission).unwrap(), permission.as_str());
    }
    assert!("Ready".parse::<NodeState>().is_err());
}
