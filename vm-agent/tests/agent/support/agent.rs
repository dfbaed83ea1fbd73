//! The machine: an agent in this process or as a process of its own, with its files.

use std::path::PathBuf;
use std::process::Stdio;

use ringfence_protocol::agent_config::{AgentConfig, AgentLimits, EngineConfig};
use tokio::sync::oneshot;
use vm_agent::agent::Ended;
use vm_agent::options::{LogFormat, Options};

use super::control_plane::ControlPlane;
use super::soon;

/// A machine's disk, and the agent that runs on it.
pub(crate) struct Machine {
    _dir: tempfile::TempDir,
    pub(crate) options: Options,
}

impl Machine {
    /// A machine as cloud-init leaves it.
    pub(crate) fn new(control_plane: &ControlPlane) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = AgentConfig {
            node_id: control_plane.node_id,
            origin: control_plane.origin().to_owned(),
            keys: control_plane.keys(),
            bootstrap_token: Some(control_plane.bootstrap_token.clone()),
            engine: EngineConfig::Unconfined,
            dead_man_after_secs: None,
            hard_deadline_at: None,
            limits: AgentLimits::default(),
        };
        let options = Options {
            config: dir.path().join("agent.json"),
            state_dir: dir.path().join("state"),
            log_format: LogFormat::Text,
            remove_after_bootstrap: vec![dir.path().join("user-data.txt")],
        };
        std::fs::write(&options.config, serde_json::to_vec(&config).unwrap()).unwrap();
        std::fs::write(&options.remove_after_bootstrap[0], "token").unwrap();
        Self { _dir: dir, options }
    }

    pub(crate) fn config(&self) -> AgentConfig {
        serde_json::from_slice(&std::fs::read(&self.options.config).unwrap()).unwrap()
    }

    pub(crate) fn state_file(&self, name: &str) -> PathBuf {
        self.options.state_dir.join(name)
    }

    /// Starts the agent in this process.
    pub(crate) fn start(&self) -> Agent {
        let options = self.options.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let told_to_stop = async {
                let _ = stopped.await;
            };
            vm_agent::agent::run(&options, told_to_stop).await.map_err(|error| error.to_string())
        });
        Agent { stop, task }
    }

    /// Starts the agent as a process.
    pub(crate) fn spawn(&self) -> tokio::process::Child {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_vm-agent"))
            .arg("--config")
            .arg(&self.options.config)
            .arg("--state-dir")
            .arg(&self.options.state_dir)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

/// A running agent.
pub(crate) struct Agent {
    stop: oneshot::Sender<()>,
    pub(crate) task: tokio::task::JoinHandle<Result<Ended, String>>,
}

impl Agent {
    /// Tells it to end, as SIGTERM does, and waits.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let ended = soon("the agent's end", self.task).await;
        ended.unwrap().unwrap();
    }
}
