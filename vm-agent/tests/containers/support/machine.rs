//! A machine with a Podman of its own: its storage, its socket, its places, all in one directory. Or with the Docker that is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ringfence_protocol::container::{ContainerSpec, WorkspaceSecrets};
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::WorkspaceSpec;
use ringfence_protocol::posture::Posture;
use ringfence_protocol::state::NetworkMode;
use tokio::sync::mpsc;
use vm_agent::workspaces::container::{PatchedPackage, RuntimeGate, Settings};
use vm_agent::workspaces::{Engine, EngineError, Opening, Order, Said, Span, Voice};

use super::{rootfs, until};

/// The image of these tests.
pub(crate) const IMAGE: &str = "localhost/ringfence-test:1";

/// Set to `docker`, the tests use the daemon that runs here instead of a Podman of their own.
const ENGINE: &str = "RINGFENCE_TEST_ENGINE";

/// Where these tests keep things, on a machine that they were not built on.
const PLACE: &str = "RINGFENCE_TEST_PLACE";

/// The engine's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cli {
    Podman,
    Docker,
}

/// The machine. Dropping it ends its Podman and unmounts what is left.
pub(crate) struct Machine {
    dir: tempfile::TempDir,
    /// On a tmpfs.
    run: tempfile::TempDir,
    service: Option<Child>,
    pub(crate) cli: Cli,
    pub(crate) engine: Arc<Engine>,
    said_sender: mpsc::UnboundedSender<Said>,
    said: mpsc::UnboundedReceiver<Said>,
    heard: Vec<Said>,
    epochs: u64,
}

impl Machine {
    /// A machine, or a line that says why there is none.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let cli =
            if std::env::var_os(ENGINE).is_some_and(|engine| engine == "docker") { Cli::Docker } else { Cli::Podman };
        let missing = missing(cli);
        if let Some(missing) = missing {
            super::skipped(test, missing);
            return None;
        }
        let place = std::env::var(PLACE).unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned());
        let dir = tempfile::Builder::new().prefix("engine-").tempdir_in(place).unwrap();
        let run = tempfile::Builder::new().prefix("rf-engine-").tempdir_in("/dev/shm").unwrap();
        let tar = rootfs::pack(dir.path());
        let imported = command(cli, dir.path(), run.path()).arg("import").arg(&tar).arg(IMAGE).output().unwrap();
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        let service = (cli == Cli::Podman).then(|| {
            command(cli, dir.path(), run.path())
                .args(["system", "service", "--time=0"])
                .arg(format!("unix://{}", socket(cli, run.path()).display()))
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(dir.path().join("podman.log")).unwrap())
                .spawn()
                .unwrap()
        });
        until("the engine's socket", || socket(cli, run.path()).exists()).await;
        let engine = Engine::containers(settings(cli, dir.path(), run.path())).await.unwrap();
        println!("{test}: {}", engine.versions());
        let (said_sender, said) = mpsc::unbounded_channel();
        Some(Self { dir, run, service, cli, engine: Arc::new(engine), said_sender, said, heard: Vec::new(), epochs: 1 })
    }

    /// The agent is another: it knows nothing of what runs.
    pub(crate) async fn restart_agent(&mut self) {
        self.engine = Arc::new(self.another_engine().await);
    }

    /// A node's own, on the same machine.
    pub(crate) async fn another_engine(&self) -> Engine {
        Engine::containers(settings(self.cli, self.dir.path(), self.run.path())).await.unwrap()
    }

    /// Where an agent keeps things.
    pub(crate) fn state_dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn run_dir(&self) -> &Path {
        self.run.path()
    }

    pub(crate) fn voice(&self, workspace: WorkspaceId) -> Voice {
        Voice::new(workspace, self.said_sender.clone())
    }

    pub(crate) fn order(&self, workspace: WorkspaceId, container: &ContainerSpec) -> Order {
        Order {
            workspace_id: workspace,
            spec_generation: 1,
            spec: spec(container),
            secrets: Some(Arc::new(WorkspaceSecrets::default())),
            has_secret_files: false,
            voice: self.voice(workspace),
            span: Span::begin().1,
        }
    }

    pub(crate) async fn start_workspace(&self, container: &ContainerSpec) -> WorkspaceId {
        let workspace = WorkspaceId::from_entropy(rand::random());
        self.engine.start(self.order(workspace, container)).await.unwrap();
        workspace
    }

    pub(crate) async fn try_start(&self, container: &ContainerSpec) -> Result<WorkspaceId, EngineError> {
        let workspace = WorkspaceId::from_entropy(rand::random());
        self.engine.start(self.order(workspace, container)).await.map(|()| workspace)
    }

    pub(crate) fn opening(&mut self, workspace: WorkspaceId) -> Opening {
        self.epochs += 1;
        let container = container();
        let (size, epoch) = ((80, 24), self.epochs);
        Opening { workspace_id: workspace, spec: spec(&container), size, epoch, voice: self.voice(workspace) }
    }

    /// Waits for something that the engine says.
    pub(crate) async fn hears<T>(&mut self, what: &str, mut wanted: impl FnMut(&Said) -> Option<T>) -> T {
        if let Some(found) = self.heard.iter().find_map(&mut wanted) {
            return found;
        }
        super::soon(what, async {
            loop {
                let said = self.said.recv().await.unwrap();
                let found = wanted(&said);
                self.heard.push(said);
                if let Some(found) = found {
                    return found;
                }
            }
        })
        .await
    }

    pub(crate) async fn hears_notice(&mut self, part: &str) -> String {
        let wanted = |said: &Said| match said {
            Said::Notice { detail, .. } if detail.contains(part) => Some(detail.clone()),
            Said::Step { .. }
            | Said::Progress(_)
            | Said::Notice { .. }
            | Said::Posture { .. }
            | Said::Broke { .. }
            | Said::Saved { .. }
            | Said::AllSaved => None,
        };
        self.hears(&format!("a notice with {part:?}"), wanted).await
    }

    pub(crate) async fn hears_posture(&mut self) -> Posture {
        let wanted = |said: &Said| match said {
            Said::Posture { posture, .. } => Some(posture.clone()),
            Said::Step { .. }
            | Said::Progress(_)
            | Said::Notice { .. }
            | Said::Broke { .. }
            | Said::Saved { .. }
            | Said::AllSaved => None,
        };
        self.hears("a posture", wanted).await
    }

    /// Everything of the workspace in the engine and on the disk.
    pub(crate) fn traces(&self, workspace: WorkspaceId) -> Vec<String> {
        let mut traces = Vec::new();
        for arguments in
            [&["ps", "-a", "--format", "{{.Names}}"][..], &["volume", "ls", "-q"], &["network", "ls", "-q"]]
        {
            traces.extend(self.engine_says(arguments).lines().map(str::to_owned));
        }
        for dir in [self.dir.path().join("volumes"), self.run.path().to_owned()] {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            traces.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        let loops = Command::new("losetup").arg("-a").output().unwrap();
        traces.extend(String::from_utf8_lossy(&loops.stdout).lines().map(str::to_owned));
        traces.retain(|trace| trace.contains(workspace.body()));
        traces
    }

    /// What runs in a workspace.
    pub(crate) fn processes(&self, workspace: WorkspaceId) -> String {
        let name = Self::container_name(workspace);
        match self.cli {
            Cli::Podman => self.engine_says(&["top", &name, "args"]),
            Cli::Docker => self.engine_says(&["top", &name, "-o", "pid,args"]),
        }
    }

    /// The engine's command.
    pub(crate) fn command(&self) -> Command {
        command(self.cli, self.dir.path(), self.run.path())
    }

    pub(crate) fn engine_says(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn container_name(workspace: WorkspaceId) -> String {
        format!("ringfence-{}", workspace.body())
    }

    pub(crate) fn volume_root(&self, workspace: WorkspaceId) -> PathBuf {
        self.dir.path().join("volumes").join(workspace.to_string())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            let mut remove = command(self.cli, self.dir.path(), self.run.path());
            let _ = remove.args(["rm", "--all", "--force", "--time=0"]).output();
            let _ = service.kill();
            let _ = service.wait();
        }
        // Podman's monitors stay for minutes after a command has ended, and would then make the storage anew.
        for monitor in monitors(self.dir.path()) {
            let _ = rustix::process::kill_process(monitor, rustix::process::Signal::KILL);
        }
        // Deepest first. Only what is under this machine's own directories.
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let places: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        for place in places.iter().rev() {
            let path = Path::new(place);
            if path.starts_with(self.dir.path()) || path.starts_with(self.run.path()) {
                let _ = Command::new("umount").arg(place).output();
            }
        }
    }
}

/// Processes that were started for this directory.
fn monitors(dir: &Path) -> Vec<rustix::process::Pid> {
    let dir = dir.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let theirs = processes.filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(process.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).into_owned();
        (command.contains("conmon") && command.contains(&dir)).then(|| rustix::process::Pid::from_raw(pid))?
    });
    theirs.collect()
}

fn socket(cli: Cli, run: &Path) -> PathBuf {
    match cli {
        Cli::Podman => run.join("podman.sock"),
        Cli::Docker => "/var/run/docker.sock".into(),
    }
}

fn missing(cli: Cli) -> Option<&'static str> {
    if !rustix::process::getuid().is_root() {
        return Some("it needs root");
    }
    let has = |program: &str, argument: &str| Command::new(program).arg(argument).output().is_ok();
    if cli == Cli::Docker {
        return (!has("docker", "--version")).then_some("it needs docker");
    }
    if !has("podman", "--version") || !has("runc", "--version") {
        return Some("it needs podman and runc");
    }
    None
}

fn command(cli: Cli, dir: &Path, run: &Path) -> Command {
    if cli == Cli::Docker {
        return Command::new("docker");
    }
    let mut command = Command::new("podman");
    command.arg("--root").arg(dir.join("storage")).arg("--runroot").arg(run.join("podman"));
    command.arg("--tmpdir").arg(run.join("libpod")).args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
    command.env("CONTAINERS_CONF", "/dev/null").stdin(Stdio::null());
    command
}

fn settings(cli: Cli, dir: &Path, run: &Path) -> Settings {
    let mut gate = RuntimeGate::with_fixes_of_november_2025();
    // Whatever this machine has: the containers of these tests hold nothing but the tests.
    gate.patched.push(PatchedPackage { package: "runc".into(), version_prefix: String::new() });
    let mut settings = Settings::of_machine(dir);
    settings.sockets = vec![socket(cli, run)];
    settings.gate = gate;
    settings.mounts_of = None;
    settings.run_dir = run.to_owned();
    settings.proxy_user = "nobody".into();
    settings
}

/// A container with small limits and no network.
pub(crate) fn container() -> ContainerSpec {
    ContainerSpec {
        image: IMAGE.into(),
        image_registries: Vec::new(),
        cpu_limit_millis: 1000,
        memory_limit_bytes: 128 << 20,
        disk_quota_bytes: 64 << 20,
        pids_limit: 64,
        network: NetworkMode::None,
        allowed_domains: Vec::new(),
        repository: None,
        env: BTreeMap::from([("GREETING".to_owned(), "hello there".to_owned())]),
    }
}

pub(crate) fn spec(container: &ContainerSpec) -> WorkspaceSpec {
    WorkspaceSpec {
        name: "demo".into(),
        running: true,
        container: Some(container.clone()),
        idle_timeout_secs: None,
        save_within_secs: None,
    }
}
