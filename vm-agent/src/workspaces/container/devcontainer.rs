//! `devcontainer.json`: what of it a workspace honours, and what it refuses by name.

use std::collections::BTreeMap;

use jsonc_parser::ParseOptions;
use ringfence_protocol::state::WorkspaceFailure;
use serde_json::Value;

use crate::workspaces::EngineError;

/// Where it may be, in the repository.
pub(super) const PLACES: [&str; 2] = [".devcontainer/devcontainer.json", ".devcontainer.json"];
/// Larger ones are no configuration.
pub(super) const MAX_BYTES: u64 = 256 << 10;

/// What asks for more than a workspace has.
const REFUSED: &[(&str, &str)] = &[
    ("privileged", "a workspace is never privileged"),
    ("mounts", "a workspace has its own volumes and no others"),
    ("workspaceMount", "the repository is at /workspace"),
    ("capAdd", "a workspace has no capabilities"),
    ("securityOpt", "a workspace's confinement cannot be changed"),
    ("runArgs", "the engine's arguments are not the repository's to choose"),
    ("dockerComposeFile", "a workspace is one container"),
    ("build", "images are not built here; name a built one in `image`"),
    ("dockerFile", "images are not built here; name a built one in `image`"),
    ("features", "features are built into images, and images are not built here"),
];

/// What is honoured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Devcontainer {
    pub(super) image: Option<String>,
    pub(super) remote_user: Option<String>,
    pub(super) container_env: BTreeMap<String, String>,
    /// Commands that run at the same time, each with a name.
    pub(super) post_create: Vec<(String, Vec<String>)>,
}

/// Reads the file.
pub(super) fn parse(text: &str) -> Result<Devcontainer, EngineError> {
    let parsed: Result<Value, _> = jsonc_parser::parse_to_serde_value(text, &ParseOptions::default());
    let parsed = parsed.map_err(|error| refused(format!("it cannot be read: {error}")))?;
    let Value::Object(mut keys) = parsed else { return Err(refused("it is not an object")) };
    for (key, why) in REFUSED {
        if keys.get(*key).is_some_and(asks_for_something) {
            return Err(refused(format!("it asks for `{key}`, and {why}")));
        }
    }
    let container_user = text_of(keys.remove("containerUser"), "containerUser")?;
    let remote_user = text_of(keys.remove("remoteUser"), "remoteUser")?.or(container_user);
    if let Some(root @ ("root" | "0")) = remote_user.as_deref() {
        return Err(refused(format!("it asks for `remoteUser` {root:?}, and nothing in a workspace runs as root")));
    }
    Ok(Devcontainer {
        image: text_of(keys.remove("image"), "image")?,
        remote_user,
        container_env: env_of(keys.remove("containerEnv"))?,
        post_create: commands_of(keys.remove("postCreateCommand"))?,
    })
}

/// An empty list, `false` and `null` ask for nothing.
fn asks_for_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(keys) => !keys.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => true,
    }
}

fn text_of(value: Option<Value>, key: &str) -> Result<Option<String>, EngineError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.contains("${") => Ok(Some(text)),
        Some(Value::String(_)) => Err(refused(format!("`{key}` has a variable in it, which is not supported"))),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(refused(format!("`{key}` must be a text")))
        }
    }
}

fn env_of(value: Option<Value>) -> Result<BTreeMap<String, String>, EngineError> {
    let keys = match value {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(keys)) => keys,
        Some(_) => return Err(refused("`containerEnv` must be an object")),
    };
    let pairs = keys.into_iter().map(|(name, value)| {
        let text = text_of(Some(value), &format!("containerEnv.{name}"))?;
        Ok((name, text.unwrap_or_default()))
    });
    pairs.collect()
}

fn commands_of(value: Option<Value>) -> Result<Vec<(String, Vec<String>)>, EngineError> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(named)) => named.into_iter().map(|(name, value)| Ok((name, command_of(value)?))).collect(),
        Some(value) => Ok(vec![("postCreateCommand".into(), command_of(value)?)]),
    }
}

/// A text is for a shell, a list is the command itself.
fn command_of(value: Value) -> Result<Vec<String>, EngineError> {
    match value {
        Value::String(text) => Ok(vec!["sh".into(), "-c".into(), text]),
        Value::Array(words) if !words.is_empty() => {
            let words = words.into_iter().map(|word| match word {
                Value::String(word) => Some(word),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
            });
            words.collect::<Option<Vec<String>>>().ok_or_else(|| refused("`postCreateCommand` must be made of texts"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(refused("`postCreateCommand` must be a text, a list of texts, or an object of these"))
        }
    }
}

/// With the file's name, so that the owner knows where to look.
pub(super) fn refused(why: impl std::fmt::Display) -> EngineError {
    EngineError::new(
        WorkspaceFailure::DevcontainerRefused,
        format!("The repository's devcontainer.json cannot be used: {why}. Change it, or leave the repository out."),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_honoured_is_read_with_comments_and_trailing_commas() {
        let read = parse(
            r#"{ // a comment
                "name": "x", "image": "debian:13", "remoteUser": "node",
                "containerEnv": { "A": "b", }, "customizations": { "vscode": {} }, "features": {}, "privileged": false,
                "postCreateCommand": { "one": "echo 1 && echo 2", "two": ["echo", "a b"], },
            }"#,
        )
        .unwrap();
        assert_eq!((read.image.as_deref(), read.remote_user.as_deref()), (Some("debian:13"), Some("node")));
        assert_eq!(read.container_env["A"], "b");
        assert_eq!(read.post_create[0], ("one".into(), vec!["sh".into(), "-c".into(), "echo 1 && echo 2".into()]));
        assert_eq!(read.post_create[1], ("two".into(), vec!["echo".into(), "a b".into()]));
        assert_eq!(parse("{}").unwrap(), Devcontainer::default());
    }

    #[test]
    fn what_asks_for_more_is_refused_by_name() {
        for (key, text) in [
            ("privileged", r#"{"privileged": true}"#),
            ("mounts", r#"{"mounts": ["source=/,target=/host,type=bind"]}"#),
            ("workspaceMount", r#"{"workspaceMount": "source=/,target=/x,type=bind"}"#),
            ("capAdd", r#"{"capAdd": ["SYS_PTRACE"]}"#),
            ("securityOpt", r#"{"securityOpt": ["seccomp=unconfined"]}"#),
            ("runArgs", r#"{"runArgs": ["--privileged"]}"#),
            ("dockerComposeFile", r#"{"dockerComposeFile": "c.yml"}"#),
            ("build", r#"{"build": {"dockerfile": "Dockerfile"}}"#),
            ("dockerFile", r#"{"dockerFile": "Dockerfile"}"#),
            ("features", r#"{"features": {"ghcr.io/x/y": {}}}"#),
            ("remoteUser", r#"{"remoteUser": "root"}"#),
            ("image", r#"{"image": "${localEnv:X}"}"#),
            ("containerEnv", r#"{"containerEnv": []}"#),
            ("postCreateCommand", r#"{"postCreateCommand": 1}"#),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.failure, WorkspaceFailure::DevcontainerRefused);
            assert!(error.detail.contains(key), "{error}");
        }
        assert!(parse("[]").is_err() && parse("{").is_err() && parse("").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
