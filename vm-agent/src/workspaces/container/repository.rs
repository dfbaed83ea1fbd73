//! The first start of a workspace with a repository: clone it, read its `devcontainer.json`, run what that says. All of it in the
//! container, as its user: nothing of a repository is touched by the agent but one file, read as bytes.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use ringfence_protocol::container::Repository;
use ringfence_protocol::state::WorkspaceFailure;
use serde::{Deserialize, Serialize};

use super::api::Api;
use super::devcontainer::{self, Devcontainer};
use super::exec::{self, Command, last_line};
use super::live::Live;
use super::user::User;
use super::volume::Volume;
use super::{failure, inside};
use crate::disk;
use crate::workspaces::{EngineError, Span, exit};

/// Notes in the volume's own part that the container does not see.
const PREPARED: &str = "prepared.json";
const CLONING: &str = "cloning";
const POST_CREATED: &str = "post-created";

/// What the first start found. Noted, so that later starts do not depend on what has become of the repository since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prepared {
    pub(super) image: Option<String>,
    pub(super) user: User,
    pub(super) env: BTreeMap<String, String>,
    pub(super) post_create: Vec<(String, Vec<String>)>,
}

/// What an earlier start noted.
pub(super) fn noted(volume: &Volume) -> Option<Prepared> {
    let text = disk::read_if_there(&volume.meta().join(PREPARED)).ok().flatten()?;
    serde_json::from_slice(&text).ok()
}

/// Notes what was found.
pub(super) fn note(volume: &Volume, prepared: &Prepared) -> Result<(), EngineError> {
    let text = serde_json::to_vec(prepared).map_err(EngineError::refused)?;
    disk::write_private(&volume.meta().join(PREPARED), &text).map_err(EngineError::refused)
}

/// Clones into `/workspace` if nothing is there. What a clone that was cut short has left does not count.
pub(super) async fn clone(api: &Api, live: &Live, repository: &Repository, span: &Span) -> Result<(), EngineError> {
    let url = &repository.url;
    let is_plain =
        |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains(|c: char| c.is_control() || c == ' ');
    if !(url.starts_with("https://") || url.starts_with("http://")) || !is_plain(url) {
        return Err(clone_failed("its address must be an https URL"));
    }
    let cloning = live.volume.meta().join(CLONING);
    let is_empty = fs::read_dir(live.volume.workspace()).is_ok_and(|mut entries| entries.next().is_none());
    match (is_empty, cloning.exists()) {
        (false, false) => return Ok(()),
        (false, true) => {
            let wipe = "rm -rf /workspace/..?* /workspace/.[!.]* /workspace/*";
            run(api, live, vec!["sh".into(), "-c".into(), wipe.into()], span.left()).await?;
        }
        (true, true | false) => disk::write_private(&cloning, b"").map_err(EngineError::refused)?,
    }
    let mut words: Vec<String> = ["git", "-c", "credential.helper=", "clone", "--progress"].map(str::to_owned).into();
    if let Some(branch) = &repository.branch {
        if !is_plain(branch) {
            return Err(clone_failed("the branch's name is none"));
        }
        words.extend(["--branch".to_owned(), branch.clone()]);
    }
    words.extend(["--".to_owned(), url.clone(), "/workspace".to_owned()]);
    let outcome = run(api, live, words, span.left()).await;
    let outcome = outcome.map_err(|error| {
        let no_git = error.failure == WorkspaceFailure::CommandNotFound;
        if no_git { clone_failed("the image has no git; use one that has") } else { error }
    })?;
    match outcome.code {
        Some(0) => disk::remove_if_there(&cloning).map_err(EngineError::refused),
        Some(126 | 127) => Err(clone_failed("the image has no git; use one that has")),
        Some(_) if live.volume.percent_used().is_some_and(|percent| percent >= 99) => Err(EngineError::new(
            WorkspaceFailure::DiskFull,
            "The repository does not fit into the workspace's disk quota. Make the workspace with a larger one.",
        )),
        Some(_) => Err(clone_failed(&format!("git says: {}", last_line(&outcome.tail)))),
        None => Err(clone_failed(&format!("it was {}", too_late()))),
    }
}

/// The repository's `devcontainer.json`, if it has one.
pub(super) fn devcontainer(volume: &Volume) -> Result<Option<Devcontainer>, EngineError> {
    for place in devcontainer::PLACES {
        let read = inside::read(&volume.workspace(), place, devcontainer::MAX_BYTES);
        let Some(bytes) = read.map_err(devcontainer::refused)? else { continue };
        let text = String::from_utf8(bytes).map_err(|_| devcontainer::refused("it is not UTF-8"))?;
        return devcontainer::parse(text.trim_start_matches('\u{feff}')).map(Some);
    }
    Ok(None)
}

/// Runs `postCreateCommand`, once in the workspace's life.
pub(super) async fn post_create(
    api: &Api,
    live: &Live,
    commands: &[(String, Vec<String>)],
    span: &Span,
) -> Result<(), EngineError> {
    let runs = commands.iter().map(|(name, words)| async move {
        let outcome = run(api, live, words.clone(), span.left()).await?;
        match outcome.code {
            Some(0) => Ok(()),
            code => {
                let how = code
                    .map_or_else(|| format!("was {}", too_late()), |code| format!("ended {}", exit::in_words(code)));
                Err(EngineError::new(
                    WorkspaceFailure::PostCreateFailed,
                    format!("{name} {how}. Its output ends with:\n{}", failure::shortened(&outcome.tail)),
                ))
            }
        }
    });
    futures_util::future::try_join_all(runs).await?;
    disk::write_private(&live.volume.meta().join(POST_CREATED), b"").map_err(EngineError::refused)
}

/// Whether that was done.
pub(super) fn is_post_created(volume: &Volume) -> bool {
    volume.meta().join(POST_CREATED).exists()
}

async fn run(api: &Api, live: &Live, words: Vec<String>, limit: Duration) -> Result<exec::Outcome, EngineError> {
    let env = ["GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "GIT_ALLOW_PROTOCOL=http:https"].map(str::to_owned);
    exec::run(api, Command { container: &live.container, container_pid: live.pid, words, env: env.into(), limit }).await
}

fn too_late() -> String {
    format!("not done within the {} that making a workspace may take", Span::whole())
}

fn clone_failed(why: &str) -> EngineError {
    EngineError::new(WorkspaceFailure::CloneFailed, format!("The repository could not be cloned: {why}."))
}
