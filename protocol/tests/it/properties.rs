//! Whatever the bytes, decoding never panics; whatever the value, decoding what was encoded gives it back.

use proptest::collection::vec;
use proptest::prelude::*;
use ringfence_protocol::agent_config::AgentConfig;
use ringfence_protocol::ids::{GrantId, ID_ENTROPY_BYTES, NodeId, UserId};
use ringfence_protocol::link::{AgentMessage, Attach, ChannelId, ControlMessage, unwrap, wrap};
use ringfence_protocol::money::Micros;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::terminal::{AgentFrame, Exit, Opened, ViewerFrame};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::SocketMessage;
use serde_json::Value;

use crate::golden_link::{agent_messages, control_messages};

/// Bytes that often begin like a frame.
fn frame_like() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![1..=3u8, 0x81..=0x86u8, any::<u8>()];
    (kinds, vec(any::<u8>(), 0..40)).prop_map(|(kind, mut body)| {
        body.insert(0, kind);
        body
    })
}

/// A message of the link with one place of it replaced by something else.
fn message_like() -> impl Strategy<Value = String> {
    let messages: Vec<String> = agent_messages()
        .iter()
        .map(|m| serde_json::to_string(m).unwrap())
        .chain(control_messages().iter().map(|m| serde_json::to_string(m).unwrap()))
        .collect();
    (prop::sample::select(messages), any::<prop::sample::Index>(), any::<String>()).prop_map(
        |(message, place, insert)| {
            let place = place.index(message.len());
            let (before, after) = message.split_at(place);
            let after = after.get(1..).unwrap_or_default();
            format!("{before}{insert}{after}")
        },
    )
}

proptest! {
    #[test]
    fn decoding_frames_never_panics(bytes in frame_like()) {
        if let Ok(frame) = ViewerFrame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), bytes.clone());
        }
        // Unknown flags are dropped, so an agent's frame need not come back the same: what it means must.
        if let Ok(frame) = AgentFrame::decode(&bytes) {
            let encoded = frame.encode();
            prop_assert_eq!(AgentFrame::decode(&encoded), Ok(frame));
        }
    }

    #[test]
    fn decoding_channel_frames_never_panics(bytes in vec(any::<u8>(), 0..40)) {
        match unwrap(&bytes) {
            Some((channel, frame)) => prop_assert_eq!(wrap(channel, frame), bytes),
            None => prop_assert!(bytes.len() < 4),
        }
    }

    #[test]
    fn a_channel_frame_comes_back(channel: u32, frame in vec(any::<u8>(), 0..200)) {
        let message = wrap(ChannelId(channel), &frame);
        prop_assert_eq!(unwrap(&message), Some((ChannelId(channel), frame.as_slice())));
    }

    #[test]
    fn a_viewers_frame_comes_back(offset in 0..u64::MAX / 2, bytes in vec(any::<u8>(), 0..200), cols in 1..=1000u16, rows in 1..=1000u16) {
        for frame in [ViewerFrame::Input { offset, bytes: &bytes }, ViewerFrame::Ack { offset }, ViewerFrame::Resize { cols, rows }, ViewerFrame::Visibility { hidden: cols % 2 == 0 }] {
            let encoded = frame.encode();
            prop_assert_eq!(ViewerFrame::decode(&encoded), Ok(frame));
        }
    }

    #[test]
    fn an_agents_frame_comes_back(
        (offset, epoch) in (0..u64::MAX / 2, any::<u64>()),
        bytes in vec(any::<u8>(), 0..200),
        (cols, rows) in (1..=1000u16, 1..=1000u16),
        (read_only, unconfined, hears_visibility, ending) in any::<(bool, bool, bool, i32)>(),
    ) {
        for frame in [
            AgentFrame::Opened(Opened { epoch, input_offset: offset, read_only, unconfined, hears_visibility }),
            AgentFrame::Output { offset, bytes: &bytes },
            AgentFrame::Reset { offset },
            AgentFrame::InputAck { offset },
            AgentFrame::Exited(Exit::Code(ending)),
            AgentFrame::Exited(Exit::Signal(ending)),
            AgentFrame::Size { cols, rows },
        ] {
            let encoded = frame.encode();
            prop_assert_eq!(AgentFrame::decode(&encoded), Ok(frame));
        }
    }

    #[test]
    fn reading_json_never_panics(text in prop_oneof![any::<String>(), message_like()]) {
        let _ = serde_json::from_str::<AgentMessage>(&text);
        let _ = serde_json::from_str::<ControlMessage>(&text);
        let _ = serde_json::from_str::<SocketMessage>(&text);
        let _ = serde_json::from_str::<CreateWorkspaceParams>(&text);
        let _ = serde_json::from_str::<AgentConfig>(&text);
        if let Ok(attach) = serde_json::from_str::<Attach>(&text) {
            let _ = attach.validate();
        }
    }

    #[test]
    fn reading_identifiers_never_panics(text in prop_oneof![any::<String>(), "(usr|ses|tok)_[0-9a-z]{19,21}"]) {
        if let Ok(id) = text.parse::<UserId>() {
            prop_assert_eq!(&id.to_string(), &text);
        }
        if let Ok(id) = text.parse::<GrantId>() {
            prop_assert_eq!(&id.to_string(), &text);
        }
    }

    #[test]
    fn an_identifier_comes_back(entropy: [u8; ID_ENTROPY_BYTES]) {
        let id = NodeId::from_entropy(entropy);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(id.body().len(), 20);
    }

    #[test]
    fn reading_instants_never_panics(text in prop_oneof![any::<String>(), "[-+]?[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,12})?(Z|[-+][0-9]{2}:[0-9]{2})"]) {
        let _ = serde_json::from_value::<UnixMillis>(Value::String(text));
    }

    #[test]
    fn an_instant_comes_back(millis: i64) {
        let instant = UnixMillis::new(millis);
        let text = serde_json::to_string(&instant).unwrap();
        prop_assert_eq!(serde_json::from_str::<UnixMillis>(&text).unwrap(), instant);
    }

    #[test]
    fn reading_amounts_never_panics(text in prop_oneof![any::<String>(), "[0-9]{0,30}(\\.[0-9]{0,30})?"]) {
        let _ = Micros::parse(&text);
    }

    #[test]
    fn an_amount_comes_back(micros in 0..=i64::MAX) {
        prop_assert_eq!(Micros::parse(&Micros(micros).to_string()), Some(Micros(micros)));
    }

    #[test]
    fn cost_grows_with_time_and_never_overflows(micros in 0..=i64::MAX, shorter: i64, longer: i64) {
        let (shorter, longer) = (shorter.min(longer), shorter.max(longer));
        prop_assert!(Micros(micros).per_hour_for(shorter) <= Micros(micros).per_hour_for(longer));
    }
}
