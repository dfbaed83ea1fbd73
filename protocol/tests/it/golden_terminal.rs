//! Every terminal frame, in hex.

use std::fmt::Write;

use ringfence_protocol::MAX_MESSAGE_BYTES;
use ringfence_protocol::link::{CHANNEL_HEADER_BYTES, ChannelId, wrap};
use ringfence_protocol::terminal::{AgentFrame, Exit, InvalidFrame, MAX_DATA_BYTES, Opened, ViewerFrame};

use crate::examples::Pinned;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn frames_of_the_viewer_keep_their_form() {
    let mut pinned = Pinned::default();
    for frame in [
        ViewerFrame::Input { offset: 5, bytes: b"ls\r" },
        ViewerFrame::Ack { offset: 131_072 },
        ViewerFrame::Resize { cols: 120, rows: 40 },
        ViewerFrame::Visibility { hidden: false },
        ViewerFrame::Visibility { hidden: true },
    ] {
        let bytes = frame.encode();
        assert_eq!(ViewerFrame::decode(&bytes), Ok(frame.clone()));
        let name = match frame {
            ViewerFrame::Input { .. } => "input",
            ViewerFrame::Ack { .. } => "ack",
            ViewerFrame::Resize { .. } => "resize",
            ViewerFrame::Visibility { .. } => "visibility",
        };
        pinned.line(name, &hex(&bytes));
    }
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn frames_of_the_agent_keep_their_form() {
    let opened = |read_only, unconfined, hears_visibility| {
        AgentFrame::Opened(Opened { epoch: 7, input_offset: 5, read_only, unconfined, hears_visibility })
    };
    let mut pinned = Pinned::default();
    for frame in [
        opened(false, false, false),
        opened(true, false, false),
        opened(false, true, false),
        opened(false, false, true),
        AgentFrame::Output { offset: 1024, bytes: b"$ " },
        AgentFrame::Reset { offset: 524_288 },
        AgentFrame::InputAck { offset: 8 },
        AgentFrame::Exited(Exit::Code(0)),
        AgentFrame::Exited(Exit::Code(-1)),
        AgentFrame::Exited(Exit::Signal(9)),
        AgentFrame::Size { cols: 120, rows: 40 },
    ] {
        let bytes = frame.encode();
        assert_eq!(AgentFrame::decode(&bytes), Ok(frame.clone()));
        let name = match frame {
            AgentFrame::Opened(_) => "opened",
            AgentFrame::Output { .. } => "output",
            AgentFrame::Reset { .. } => "reset",
            AgentFrame::InputAck { .. } => "input_ack",
            AgentFrame::Exited(_) => "exited",
            AgentFrame::Size { .. } => "size",
        };
        pinned.line(name, &hex(&bytes));
    }
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn the_largest_frame_fits_into_one_message_on_the_link() {
    let bytes = vec![0; MAX_DATA_BYTES];
    let frame = AgentFrame::Output { offset: 0, bytes: &bytes }.encode();
    assert_eq!(wrap(ChannelId(1), &frame).len(), MAX_MESSAGE_BYTES);
    assert_eq!(frame.len(), MAX_MESSAGE_BYTES - CHANNEL_HEADER_BYTES);
    assert!(AgentFrame::decode(&frame).is_ok());
}

#[test]
fn frames_that_could_overflow_a_sum_or_a_screen_are_refused() {
    let input = |offset: u64, bytes: &[u8]| ViewerFrame::Input { offset, bytes }.encode();
    let resize = |cols, rows| ViewerFrame::Resize { cols, rows }.encode();
    for frame in [
        input(u64::MAX, b"x"),
        input(0, &vec![0; MAX_DATA_BYTES + 1]),
        resize(0, 24),
        resize(80, 1001),
        vec![],
        vec![0x01],
        vec![0x02, 0, 0],
        vec![0x7f],
    ] {
        assert_eq!(ViewerFrame::decode(&frame), Err(InvalidFrame));
    }
    // How a process ended is 0 or 1, nothing else.
    assert_eq!(AgentFrame::decode(&[0x85, 2, 0, 0, 0, 0]), Err(InvalidFrame));
}

#[test]
fn flags_that_we_do_not_know_yet_are_ignored() {
    let mut frame = AgentFrame::Opened(Opened {
        epoch: 7,
        input_offset: 0,
        read_only: false,
        unconfined: false,
        hears_visibility: false,
    })
    .encode();
    *frame.last_mut().unwrap() = 0xfc;
    assert!(matches!(
        AgentFrame::decode(&frame),
        Ok(AgentFrame::Opened(Opened { read_only: false, unconfined: false, .. }))
    ));
}
