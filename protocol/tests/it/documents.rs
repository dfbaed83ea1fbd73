//! What is written for people is complete.

use std::path::Path;

use ringfence_protocol::problem::ErrorCode;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
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
    let lines = errors.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(
        lines,
        ErrorCode::ALL.len(),
        "docs/errors.md tells of a code that does not exist"
    );
}
