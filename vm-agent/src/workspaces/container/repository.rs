//! The first start of a workspace with a repository: clone it, read its `devcontainer.json`, run what that says. All of it in the
//! container, as its user: nothing of a repository is touched by the agent but one file, read as bytes.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use ringfence_protocol::container::Repository;
use ringfence_protocol::state::WorkspaceFailure;
use serde::{Deserialize, Serialize};

use super::api::Api;
use super::create::SECRETS_DIR;
use super::devcontainer::{self, Devcontainer};
use super::exec::{self, Command, last_line};
use super::failure::shortened;
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

/// Secrets that a private repository is cloned with: a token, and the user's name where the host minds it.
const TOKEN: &str = "GIT_TOKEN";
const TOKEN_USER: &str = "GIT_USERNAME";

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
    let mut words: Vec<String> = ["git", "-c", "credential.helper="].map(str::to_owned).into();
    words.extend(credential_helper(url, SECRETS_DIR).into_iter().flat_map(|helper| ["-c".to_owned(), helper]));
    words.extend(["clone", "--progress"].map(str::to_owned));
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
        Some(_) => Err(clone_failed(&refusal(&complaint(&outcome.tail)))),
        None => Err(clone_failed(&format!("it was {}", too_late()))),
    }
}

/// What git complains of, without its progress: the cause comes first, and last that there was one.
fn complaint(tail: &str) -> String {
    let complains = |line: &&str| ["fatal: ", "error: ", "remote: "].iter().any(|word| line.starts_with(word));
    let lines: Vec<&str> = tail.split(['\n', '\r']).map(str::trim).filter(complains).collect();
    if lines.is_empty() { last_line(tail).to_owned() } else { shortened(&lines.join(" ")) }
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

/// Lets git ask for the token that the owner has put among the workspace's secrets, for the repository's own host and over https
/// alone: wherever else git is led, it is given nothing. What git is told is where the token is, never the token.
fn credential_helper(url: &str, secrets_dir: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
    let origin = url.origin().ascii_serialization();
    Some(format!(
        "credential.{origin}.helper=!f() {{ test \"$1\" = get && test -r {secrets_dir}/{TOKEN} || exit 0; \
         user=$(cat {secrets_dir}/{TOKEN_USER} 2>/dev/null); \
         printf 'username=%s\\npassword=%s\\n' \"${{user:-x-access-token}}\" \"$(cat {secrets_dir}/{TOKEN})\"; }}; f"
    ))
}

fn refusal(said: &str) -> String {
    let wants_login = ["Authentication failed", "could not read", "terminal prompts disabled"];
    match wants_login.iter().any(|part| said.contains(part)) {
        true => format!(
            "git says: {said}. Its host wants a login, or has no such repository: give the workspace a secret {TOKEN} that may read it"
        ),
        false => format!("git says: {said}"),
    }
}

fn too_late() -> String {
    format!("not done within the {} that making a workspace may take", Span::whole())
}

fn clone_failed(why: &str) -> EngineError {
    EngineError::new(WorkspaceFailure::CloneFailed, format!("The repository could not be cloned: {why}."))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What git would send to this host, while it clones that repository.
    fn sent(repository: &str, protocol: &str, host: &str, dir: &std::path::Path) -> Option<String> {
        let helper = credential_helper(repository, &dir.to_string_lossy());
        let mut command = Command::new("git");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", dir);
        command.envs([("GIT_TERMINAL_PROMPT", "0"), ("GIT_ASKPASS", "false"), ("GIT_CONFIG_NOSYSTEM", "1")]);
        command.args(["-c", "credential.helper="]).args(helper.iter().flat_map(|helper| ["-c", helper]));
        command.args(["credential", "fill"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut git = command.spawn().unwrap();
        git.stdin.take().unwrap().write_all(format!("protocol={protocol}\nhost={host}\n\n").as_bytes()).unwrap();
        let output = git.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn a_token_is_sent_to_the_repositorys_own_host_over_https_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let url = "https://git.example.test/owner/name";
        assert_eq!(sent(url, "https", "git.example.test", dir.path()), None, "there is none");
        fs::write(dir.path().join(TOKEN), "t0ken\\n-x\n").unwrap();
        let told = sent(url, "https", "git.example.test", dir.path()).unwrap();
        assert!(told.contains("username=x-access-token\npassword=t0ken\\n-x\n"), "{told}");
        fs::write(dir.path().join(TOKEN_USER), "me").unwrap();
        assert!(sent(url, "https", "git.example.test", dir.path()).unwrap().contains("username=me\n"));
        for (protocol, host) in [
            ("http", "git.example.test"),
            ("https", "git.example.test:444"),
            ("https", "evil.test"),
            ("https", "git.example.test.evil.test"),
            ("https", "a.git.example.test"),
        ] {
            assert_eq!(sent(url, protocol, host, dir.path()), None, "{protocol} {host}");
        }
        assert_eq!(credential_helper("http://git.example.test/x", "/x"), None);
        let port = "https://git.example.test:8443/x";
        assert!(sent(port, "https", "git.example.test:8443", dir.path()).is_some());
    }

    #[test]
    fn a_host_that_wants_a_login_is_told_from_other_refusals() {
        let words = refusal("fatal: could not read Username for 'https://git.example.test': terminal prompts disabled");
        assert!(words.contains("GIT_TOKEN"), "{words}");
        assert!(!refusal("fatal: repository 'x' not found").contains("GIT_TOKEN"));
    }

    #[test]
    fn what_git_complains_of_is_told_with_its_cause() {
        let tail = "Cloning into '/workspace'...\nReceiving objects: 10%\rReceiving objects: 20%\r\nerror: Unable to find x\nerror: fetch failed.\n";
        assert_eq!(complaint(tail), "error: Unable to find x error: fetch failed.");
        assert_eq!(complaint("killed\n"), "killed");
    }
}
