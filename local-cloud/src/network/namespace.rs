//! Network namespaces by name. Each name begins with the installation's own prefix, so two running clouds never touch each other's,
//! and what a crash left behind is found again by it.

use crate::command::{self, run, run_with};
use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use tokio::process::Command;

const FOLDER: &str = "/run/netns";
/// Of the installation's 32 digits; enough that no two on a computer share them.
const INSTALLATION_DIGITS: usize = 12;

/// A namespace by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace(String);

/// The beginning of every name that belongs to an installation.
pub(crate) fn prefix(installation: &str) -> String {
    format!("ringfence-{}-", installation.get(..INSTALLATION_DIGITS).unwrap_or(installation))
}

impl Namespace {
    pub(crate) fn new(installation: &str, what: &str) -> Self {
        Self(format!("{}{what}", prefix(installation)))
    }

    /// Those of an installation that exist.
    pub(crate) fn of_installation(installation: &str) -> Vec<Self> {
        let prefix = prefix(installation);
        let Ok(entries) = std::fs::read_dir(FOLDER) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(&prefix)).map(Self).collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.0)
    }

    pub(crate) async fn create(&self) -> Result<()> {
        run("ip", &["netns", "add", &self.0]).await
    }

    /// Runs lines of `ip`, such as `link set lo up`, inside.
    pub(crate) async fn ip(&self, lines: &str) -> Result<()> {
        run_with("ip", &["-n", &self.0, "-batch", "-"], lines).await
    }

    /// Ends every process inside and removes the namespace.
    pub(crate) async fn remove(&self) -> bool {
        if !self.path().exists() {
            return true;
        }
        for pid in self.pids().await {
            let _ = kill_process(pid, Signal::KILL);
        }
        let removed = run("ip", &["netns", "delete", &self.0]).await;
        if let Err(error) = &removed {
            tracing::warn!(namespace = self.0, error = format!("{error:#}"), "cannot remove a network namespace");
        }
        removed.is_ok()
    }

    /// A command that runs inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).args(["--", program]);
        command
    }

    /// A socket that listens inside. A thread of its own enters the namespace, makes it, and ends; the socket stays there.
    pub(crate) fn listen(&self, address: SocketAddr) -> Result<tokio::net::TcpListener> {
        let namespace = File::open(self.path()).with_context(|| format!("no network namespace {}", self.0))?;
        let entered = std::thread::spawn(move || -> Result<TcpListener> {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = entered.join().map_err(|_| anyhow!("the thread in {} broke", self.0))?;
        let listener = listener.with_context(|| format!("cannot listen on {address} in {}", self.0))?;
        Ok(tokio::net::TcpListener::from_std(listener)?)
    }

    async fn pids(&self) -> Vec<Pid> {
        let mut list = Command::new("ip");
        list.args(["netns", "pids", &self.0]);
        let outcome = command::bounded(list, b"", std::time::Duration::from_secs(10)).await;
        let text = outcome.map(|outcome| String::from_utf8_lossy(&outcome.stdout).into_owned()).unwrap_or_default();
        text.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_installations_apart() {
        let ours = Namespace::new("0123456789abcdef0123456789abcdef", "cloud");
        assert_eq!(ours.name(), "ringfence-0123456789ab-cloud");
        assert!(!ours.name().starts_with(&prefix("1123456789abcdef0123456789abcdef")));
    }
}
