//! Engines' errors as failures with a code, in words that say what to do.

use bollard::errors::Error;
use ringfence_protocol::state::WorkspaceFailure;

use super::raw::RawError;
use crate::workspaces::EngineError;

/// An error of any request but a pull.
pub(super) fn of(error: &Error) -> EngineError {
    if let Error::DockerResponseServerError { message, .. } = error { of_text(message) } else { no_answer(error) }
}

/// As [`of`], of a request of our own.
pub(super) fn of_raw(error: &RawError) -> EngineError {
    match error {
        RawError::Refused { message, .. } => of_text(message),
        RawError::Socket(_) | RawError::Http(_) | RawError::Request(_) => no_answer(error),
    }
}

fn no_answer(error: impl std::fmt::Display) -> EngineError {
    EngineError::new(
        WorkspaceFailure::EngineUnavailable,
        format!("The machine's container engine does not answer: {error}. Try again, or move to a new machine."),
    )
}

fn of_text(message: &str) -> EngineError {
    let lower = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["no space left", "disk quota exceeded"]) {
        return disk_full();
    }
    if has(&["executable file", "no such file or directory: oci", "command not found"]) {
        return command_not_found(message);
    }
    if has(&["no such image", "image not known"]) {
        return EngineError::new(WorkspaceFailure::ImageNotFound, "The image has gone from the machine. Start again.");
    }
    EngineError::refused(format!("The container engine refused: {message}"))
}

/// The image lacks what every container of ours begins with.
pub(super) fn command_not_found(message: &str) -> EngineError {
    EngineError::new(
        WorkspaceFailure::CommandNotFound,
        format!(
            "The image has not what every workspace needs: a shell `sh` and `sleep`. Use another image. ({message})"
        ),
    )
}

/// The machine's disk is full.
pub(super) fn disk_full() -> EngineError {
    EngineError::new(
        WorkspaceFailure::DiskFull,
        "The machine's disk is full. Delete workspaces on it, or use a machine with a larger disk.",
    )
}

/// An error of a pull.
pub(super) fn of_pull(image: &str, error: &Error) -> EngineError {
    let text = if let Error::DockerResponseServerError { message: text, .. }
    | Error::DockerStreamError { error: text } = error
    {
        text.clone()
    } else {
        error.to_string()
    };
    of_pull_text(image, &text)
}

fn of_pull_text(image: &str, text: &str) -> EngineError {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["no space left", "disk quota exceeded"]) {
        return disk_full();
    }
    let (failure, what) = if has(&["unauthorized", "denied", "authentication required", "forbidden", "no basic auth"]) {
        (
            WorkspaceFailure::PullDenied,
            "the registry wants a login, or other credentials, for it (some say so of images that do not exist, too)",
        )
    } else if has(&["manifest unknown", "not found", "name unknown", "does not exist", "no matching manifest"]) {
        (WorkspaceFailure::ImageNotFound, "the registry has no such image; check its name and tag")
    } else if has(&["no such host", "timeout", "connection refused", "unreachable", "dial tcp", "deadline exceeded"]) {
        (WorkspaceFailure::PullFailed, "its registry cannot be reached; try again later, or check the name")
    } else {
        (WorkspaceFailure::PullFailed, "its registry's answer cannot be used")
    };
    EngineError::new(failure, format!("The image {image} could not be fetched: {what}. ({})", shortened(text)))
}

/// The end of a long text: engines put the cause last.
pub(super) fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 400;
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(MAX_CHARS);
    let end: String = text.chars().skip(skipped).collect();
    if skipped == 0 { end } else { format!("…{end}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_a_failed_pull_are_told_apart() {
        let cases = [
            ("reading manifest nope in docker.io/library/debian: manifest unknown", WorkspaceFailure::ImageNotFound),
            ("manifest for registry.test:5000/x:1 not found: manifest unknown", WorkspaceFailure::ImageNotFound),
            (
                "pull access denied for x, repository does not exist or may require 'docker login'",
                WorkspaceFailure::PullDenied,
            ),
            ("unable to retrieve auth token: invalid username/password: unauthorized", WorkspaceFailure::PullDenied),
            (
                "pinging container registry r.test: dial tcp 198.51.100.5:5000: connect: connection refused",
                WorkspaceFailure::PullFailed,
            ),
            ("lookup nowhere.test: no such host", WorkspaceFailure::PullFailed),
            ("writing blob: write /var/tmp/x: no space left on device", WorkspaceFailure::DiskFull),
            ("invalid character '<' looking for beginning of value", WorkspaceFailure::PullFailed),
        ];
        for (text, failure) in cases {
            assert_eq!(of_pull_text("x:1", text).failure, failure, "{text}");
        }
    }

    #[test]
    fn a_long_text_keeps_its_end() {
        let long = format!("{}the cause", "x".repeat(5000));
        assert!(shortened(&long).ends_with("the cause") && shortened(&long).chars().count() == 401);
        assert_eq!(shortened(" short "), "short");
    }
}
