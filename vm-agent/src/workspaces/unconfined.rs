//! Workspaces as plain processes: a directory each, no walls. For a first look and for tests.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pty_process::Size;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::WorkspaceSpec;

use super::agent_socket::{self, SocketPlace};
use super::{EngineError, Saved, save};
use crate::activity::ProcessTime;
use crate::disk;
use crate::processes::{self, WORKSPACE_VARIABLE};
use crate::terminal::Tty;

/// Where programs are looked for when the agent itself was not told.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Names the machine in the environment; given by who started it, passed on so that a test can see what is left of one.
const MACHINE_VARIABLE: &str = "RINGFENCE_MACHINE";
/// The workspace's name, for the prompt.
const NAME_VARIABLE: &str = "RINGFENCE_WORKSPACE_NAME";
/// What login shells read first. Written once; the user may change it.
const PROFILE: &str = "[ -n \"$BASH_VERSION\" ] && [ -f ~/.bashrc ] && . ~/.bashrc\n";
/// The prompt: system-wide start-up files would overwrite one from the environment.
const BASHRC: &str = r"PS1='\[\e[1;34m\]${RINGFENCE_WORKSPACE_NAME}\[\e[0m\]:\w\$ '
";

/// In the workspace's home, beside its save hook.
const SOCKET_DIR: &str = ".ringfence";

/// Runs workspaces as plain processes.
pub struct Unconfined {
    workspaces: PathBuf,
    /// Session leaders that were started and may be alive.
    leaders: Mutex<HashMap<WorkspaceId, Vec<i32>>>,
}

impl Unconfined {
    /// Keeps workspaces under the state directory.
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { workspaces: state_dir.join("workspaces"), leaders: Mutex::default() }
    }

    fn home(&self, workspace_id: WorkspaceId) -> PathBuf {
        self.workspaces.join(workspace_id.to_string())
    }

    pub(super) async fn start(&self, workspace_id: WorkspaceId, _spec: &WorkspaceSpec) -> Result<(), EngineError> {
        let home = self.home(workspace_id);
        disk::make_private_dir(&home).map_err(failed)?;
        for (name, text) in [(".profile", PROFILE), (".bashrc", BASHRC)] {
            let path = home.join(name);
            if !path.exists() {
                disk::write_private(&path, text.as_bytes()).map_err(failed)?;
            }
        }
        Ok(())
    }

    pub(super) async fn stop(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        let leaders = self.leaders().get(&workspace_id).cloned();
        if !processes::end_all(workspace_id, &leaders.unwrap_or_default()).await {
            return Err(EngineError::refused("some of its processes do not end"));
        }
        self.leaders().remove(&workspace_id);
        Ok(())
    }

    /// Runs the save hook, in the environment of a shell.
    pub(super) async fn save(&self, workspace_id: WorkspaceId, limit: Duration) -> Option<Saved> {
        let home = self.home(workspace_id);
        let hook = home.join(save::HOOK);
        let is_program = hook.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        if !is_program {
            return None;
        }
        let mut command = tokio::process::Command::new(&hook);
        command.env_clear().envs(environment(&home, workspace_id)).current_dir(&home);
        Some(save::run(&mut command, limit).await)
    }

    /// Where a workspace's socket belongs: there are no walls that it could be behind.
    pub(super) fn socket_place(&self, workspace_id: WorkspaceId) -> Option<SocketPlace> {
        let dir = self.home(workspace_id).join(SOCKET_DIR);
        let made = disk::make_private_dir(&dir);
        made.is_ok().then(|| SocketPlace { path: dir.join(agent_socket::SOCKET_NAME), owner: None })
    }

    pub(super) fn times(&self, workspace_id: WorkspaceId) -> Vec<ProcessTime> {
        let leaders = self.leaders().get(&workspace_id).cloned();
        processes::times_of_workspace(workspace_id, &leaders.unwrap_or_default())
    }

    pub(super) async fn remove(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        self.stop(workspace_id).await?;
        match tokio::fs::remove_dir_all(self.home(workspace_id)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn spawn(
        &self,
        workspace_id: WorkspaceId,
        spec: &WorkspaceSpec,
        (cols, rows): (u16, u16),
    ) -> Result<Tty, EngineError> {
        let home = self.home(workspace_id);
        let shell = shell();
        let shell_name = shell.file_name().unwrap_or_default().to_owned();
        let mut login_name = OsString::from("-");
        login_name.push(&shell_name);
        let command = pty_process::Command::new(&shell)
            .arg0(login_name)
            .env_clear()
            .envs(environment(&home, workspace_id))
            .env("SHELL", &shell)
            .env("TERM", "xterm-256color")
            .env("COLORTERM", "truecolor")
            .env("PS1", format!("{}$ ", spec.name))
            .env(NAME_VARIABLE, &spec.name)
            .current_dir(&home);
        // The lock is held from opening the PTY to the end of the fork: the library marks it close-on-exec only after opening it,
        // and no other workspace's shell may be forked in between.
        let mut leaders = self.leaders();
        let (pty, pts) = pty_process::open().map_err(failed)?;
        pty.resize(Size::new(rows, cols)).map_err(failed)?;
        let child = command.spawn(pts).map_err(failed)?;
        let started = child.id().and_then(|pid| i32::try_from(pid).ok());
        leaders.entry(workspace_id).or_default().extend(started);
        Ok(Tty::local(pty, child))
    }

    fn leaders(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Vec<i32>>> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clean environment: nothing of the agent's own passes.
fn environment(home: &Path, workspace_id: WorkspaceId) -> impl Iterator<Item = (&'static str, OsString)> + use<> {
    let user = env::var_os("USER").unwrap_or_else(|| "root".into());
    let machine = env::var_os(MACHINE_VARIABLE).map(|machine| (MACHINE_VARIABLE, machine));
    let variables = [
        ("HOME", home.as_os_str().to_owned()),
        ("PATH", env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into())),
        ("USER", user.clone()),
        ("LOGNAME", user),
        ("LANG", "C.UTF-8".into()),
        (WORKSPACE_VARIABLE, workspace_id.to_string().into()),
        (agent_socket::SOCKET_VARIABLE, home.join(SOCKET_DIR).join(agent_socket::SOCKET_NAME).into()),
    ];
    variables.into_iter().chain(machine)
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::refused(error)
}

/// The shell of whoever runs the agent, else the first of the usual ones that is there.
fn shell() -> PathBuf {
    let own = env::var_os("SHELL").map(PathBuf::from);
    let own = own.filter(|shell| shell.is_absolute() && !shell.ends_with("nologin") && !shell.ends_with("false"));
    let usual = [PathBuf::from("/bin/bash"), PathBuf::from("/bin/sh")];
    own.into_iter().chain(usual).find(|shell| shell.exists()).unwrap_or_else(|| PathBuf::from("/bin/sh"))
}
