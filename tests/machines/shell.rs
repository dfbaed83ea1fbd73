//! A shell in a workspace, one command at a time, through the browser's own terminal protocol.

use anyhow::{Context, Result};
use ringfence_protocol::ids::WorkspaceId;
use xtask::client::{Client, Terminal};

use crate::machine::COMMAND_LIMIT;

/// A shell that is asked and answers.
pub struct Shell {
    terminal: Terminal,
    commands: u32,
}

/// What became of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub output: String,
}

impl Shell {
    pub async fn open(client: &Client, workspace: WorkspaceId) -> Result<Self> {
        // Who comes second to a terminal is shown what the first one was answered.
        let commands = u32::from(rand::random::<u16>()) * 1000;
        let mut shell = Self { terminal: client.open_terminal(workspace).await?, commands };
        // A prompt that no output looks like, and no echo of what is typed.
        shell.run("stty -echo; PS1=; PS2=; bind 'set enable-bracketed-paste off' 2>/dev/null").await?;
        Ok(shell)
    }

    /// Runs one command line in a subshell. Its markers are cut in two where they are typed, so that an echo is no answer.
    pub async fn run(&mut self, command: &str) -> Result<Ran> {
        self.commands += 1;
        let n = self.commands;
        let line = format!("echo '=''begin{n}='; {{ {command} ; }} 2>&1; echo '=''end'{n}:$?'='");
        self.terminal.type_line(&line).await?;
        self.terminal.wait_for(&format!("=begin{n}="), COMMAND_LIMIT).await?;
        let output = self.terminal.wait_for(&format!("=end{n}:"), COMMAND_LIMIT).await?;
        let code = self.terminal.wait_for("=", COMMAND_LIMIT).await?;
        let code = String::from_utf8_lossy(&code).trim_end_matches('=').parse().context("an exit code")?;
        let output = String::from_utf8_lossy(&output).trim_end_matches(&format!("=end{n}:")).replace('\r', "");
        Ok(Ran { code, output })
    }

    /// Runs a command that has to succeed; what it printed.
    pub async fn ok(&mut self, command: &str) -> Result<String> {
        let ran = self.run(command).await?;
        anyhow::ensure!(ran.code == 0, "`{command}` ended with {}: {}", ran.code, ran.output);
        Ok(ran.output.trim().to_owned())
    }

    /// The terminal itself.
    pub fn terminal(&mut self) -> &mut Terminal {
        &mut self.terminal
    }
}
