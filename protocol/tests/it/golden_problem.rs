//! Error codes and the body of an error.

use std::collections::HashSet;

use ringfence_protocol::limits::LimitView;
use ringfence_protocol::problem::{ErrorCode, PROBLEM_CONTENT_TYPE, Problem};
use ringfence_protocol::state::{LimitMeasure, LimitScope};

use crate::examples::Pinned;

#[test]
fn codes_keep_their_words_and_statuses() {
    let mut pinned = Pinned::default();
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        pinned.line(code.as_str(), &format!("{} {}", code.status(), code.title()));
    }
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn an_errors_body_keeps_its_form() {
    let mut pinned = Pinned::default();
    let code = ErrorCode::NoCredential;
    pinned.line("content type", PROBLEM_CONTENT_TYPE);
    pinned.json(
        "Problem",
        &Problem {
            code,
            status: code.status(),
            title: code.title().into(),
            detail: "Store a key for a cloud under Credentials; nothing was created.".into(),
            request_id: "8f0c2b".into(),
            limit: None,
        },
    );
    let code = ErrorCode::LimitReached;
    pinned.json(
        "Problem of a limit",
        &Problem {
            code,
            status: code.status(),
            title: code.title().into(),
            detail: "Your limit is 3 nodes, and you have 3; nothing was created.".into(),
            request_id: "8f0c2b".into(),
            limit: Some(LimitView {
                scope: LimitScope::User,
                measure: LimitMeasure::Nodes,
                limit: Some("3".into()),
                usage: "3".into(),
            }),
        },
    );
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn no_two_codes_share_a_word() {
    let words: HashSet<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), ErrorCode::ALL.len());
}
