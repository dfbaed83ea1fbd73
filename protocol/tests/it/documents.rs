//! What is written for people is complete.

use std::path::Path;

use ringfence_protocol::problem::ErrorCode;

use crate::golden_link::{agent_messages, control_messages};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_error_code_has_its_line_in_the_documentation() {
    let errors = document("errors.md");
    for code in ErrorCode::ALL {
        let beginning = format!("| `{}` | {} |", code.as_str(), code.status());
        assert!(
            errors.lines().any(|line| line.starts_with(&beginning)),
            "docs/errors.md has no line that begins with {beginning}"
        );
    }
    // Lines of this table alone: its second column is an HTTP status. Failures of nodes and workspaces have tables of their own.
    let has_status = |line: &&str| line.split('|').nth(2).is_some_and(|cell| cell.trim().parse::<u16>().is_ok());
    let lines = errors.lines().filter(|line| line.starts_with("| `")).filter(has_status).count();
    assert_eq!(lines, ErrorCode::ALL.len(), "docs/errors.md tells of a code that does not exist");
}

#[test]
fn every_terminal_frame_has_its_example_in_the_documentation() {
    use ringfence_protocol::link::{ChannelId, wrap};
    use ringfence_protocol::terminal::{AgentFrame, Exit, Opened, ViewerFrame};

    let protocol = document("protocol.md").replace(' ', "");
    let resize = ViewerFrame::Resize { cols: 120, rows: 40 }.encode();
    let examples = [
        ViewerFrame::Input { offset: 5, bytes: b"ls\r" }.encode(),
        ViewerFrame::Ack { offset: 131_072 }.encode(),
        ViewerFrame::Visibility { hidden: true }.encode(),
        wrap(ChannelId(9), &resize),
        resize,
        AgentFrame::Opened(Opened {
            epoch: 7,
            input_offset: 5,
            read_only: false,
            unconfined: false,
            hears_visibility: true,
        })
        .encode(),
        AgentFrame::Output { offset: 1024, bytes: b"$ " }.encode(),
        AgentFrame::Reset { offset: 524_288 }.encode(),
        AgentFrame::InputAck { offset: 8 }.encode(),
        AgentFrame::Exited(Exit::Code(0)).encode(),
        AgentFrame::Exited(Exit::Signal(9)).encode(),
        AgentFrame::Size { cols: 120, rows: 40 }.encode(),
        AgentFrame::Output { offset: 6, bytes: b"a.txt\r\n$ " }.encode(),
    ];
    for frame in examples {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(protocol.contains(&hex), "docs/protocol.md has no example {hex}");
    }
}

#[test]
fn every_message_of_the_link_is_in_the_documentation() {
    let protocol = document("protocol.md");
    let types = agent_messages()
        .iter()
        .map(|message| serde_json::to_value(message).unwrap())
        .chain(control_messages().iter().map(|message| serde_json::to_value(message).unwrap()))
        .map(|message| message["type"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    for name in types {
        assert!(protocol.contains(&format!("| `{name}` |")), "docs/protocol.md has no line for {name}");
    }
}
