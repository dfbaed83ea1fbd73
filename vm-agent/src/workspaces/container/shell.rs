//! Terminals in a container: a login shell by exec with a TTY, over a connection of its own.
//!
//! The connection is the agent's own, not bollard's: that one looks at each read's first byte to tell a framed stream from a raw
//! one, and a terminal may print any byte first.

use std::sync::Arc;
use std::time::Duration;

use bollard::exec::{CreateExecOptions, ResizeExecOptions};
use ringfence_protocol::state::WorkspaceFailure;
use ringfence_protocol::terminal::Exit;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{oneshot, watch};

use super::api::Api;
use super::live::Live;
use super::{exec, failure, raw};
use crate::processes::{self, TERMINAL_VARIABLE};
use crate::terminal::{Source, Tty};
use crate::workspaces::{EngineError, Opening};

/// Typed, they would detach the terminal; they cannot be turned off in every engine. Nobody types sixteen of these in a row.
const DETACH_KEYS: &str =
    "ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^";
/// What the terminal may have printed before its task reads.
const BUFFER_BYTES: usize = 64 * 1024;
/// The exit code of a process that was killed, as shells and engines count it: 128 + 9.
const KILLED: i64 = 137;
/// A size that comes before the terminal is there is set again.
const RESIZE_TRIES: usize = 25;
const RESIZE_EVERY: Duration = Duration::from_millis(20);

/// A terminal that is yet to be started.
pub(super) fn source(api: Arc<Api>, live: Arc<Live>, opening: &Opening) -> Source {
    let mark = format!("{TERMINAL_VARIABLE}={:x}", opening.epoch);
    let end = {
        let (mark, pid) = (mark.clone(), live.pid);
        async move {
            if !processes::end_marked(pid, &mark).await {
                tracing::warn!(mark, "processes of a terminal do not end");
            }
        }
    };
    let (size, voice) = (opening.size, opening.voice.clone());
    let tty = async move {
        let started = start(api, live, mark, size, voice.clone()).await;
        if let Err(error) = &started {
            voice.notice(format!("A terminal could not be started. {error}"));
        }
        started
    };
    Source { tty: Box::pin(tty), end: Some(Box::pin(end)) }
}

async fn start(
    api: Arc<Api>,
    live: Arc<Live>,
    mark: String,
    size: (u16, u16),
    voice: crate::workspaces::Voice,
) -> Result<Tty, EngineError> {
    let Some(shell) = live.shell else {
        return Err(EngineError::new(
            WorkspaceFailure::CommandNotFound,
            "The image has no shell: neither /bin/bash nor /bin/sh. Use an image with one.",
        ));
    };
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(true),
        detach_keys: Some(DETACH_KEYS.to_owned()),
        env: Some(vec![mark, "TERM=xterm-256color".into(), "COLORTERM=truecolor".into(), format!("SHELL={shell}")]),
        cmd: Some(vec![shell.to_owned(), "-l".into()]),
        ..CreateExecOptions::default()
    };
    let created = api.docker.create_exec(&live.container, options).await.map_err(|error| failure::of(&error))?;
    let path = format!("/v1.41/exec/{}/start", created.id);
    // Docker's name for the size, and Podman's: without it, Podman would undo a resize that comes early.
    let body = json!({ "Detach": false, "Tty": true, "ConsoleSize": [size.1, size.0], "h": size.1, "w": size.0 });
    let stream = raw::take_over(&api.socket, &path, &body).await.map_err(|error| failure::of_raw(&error))?;
    let (mut from_shell, to_shell) = tokio::io::split(stream);
    let (ours, mut theirs) = tokio::io::simplex(BUFFER_BYTES);
    let (sizes, new_sizes) = watch::channel(size);
    let (exited, exit) = oneshot::channel();
    tokio::spawn(follow_size(Arc::clone(&api), created.id.clone(), new_sizes));
    tokio::spawn(async move {
        let _ =
            tokio::io::copy_buf(&mut tokio::io::BufReader::with_capacity(BUFFER_BYTES, &mut from_shell), &mut theirs)
                .await;
        let _ = theirs.shutdown().await;
        let code = exec::exit_code(&api, &created.id).await;
        if matches!(code, Ok(KILLED)) {
            live.look_for_oom(&voice);
        }
        let _ = exited.send(match code {
            Ok(code) => exit_of(code),
            Err(_) => Exit::Code(-1),
        });
    });
    Ok(Tty::remote(ours, to_shell, sizes, exit))
}

/// Engines report a death by signal as 128 and its number, and so does the shell of its last command: both are codes.
fn exit_of(code: i64) -> Exit {
    Exit::Code(i32::try_from(code).unwrap_or(-1))
}

async fn follow_size(api: Arc<Api>, exec: String, mut sizes: watch::Receiver<(u16, u16)>) {
    loop {
        let (width, height) = *sizes.borrow_and_update();
        for _ in 0..RESIZE_TRIES {
            if api.docker.resize_exec(&exec, ResizeExecOptions { height, width }).await.is_ok() {
                break;
            }
            tokio::time::sleep(RESIZE_EVERY).await;
        }
        // The terminal's task has ended.
        if sizes.changed().await.is_err() {
            return;
        }
    }
}
