//! The real program with a driver that boots machines, its client, and waiting for conditions.

use reqwest::{Client, Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Only a failing test waits so long: a machine boots in seconds, an emulated one in minutes.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
const TOKEN: &str = "a-token";

/// A running program.
pub(crate) struct Cloud {
    child: Child,
    url: String,
    client: Client,
}

/// What a program in a machine did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i64,
    pub(crate) stdout: String,
    #[expect(dead_code, reason = "for a reader of a failed assertion")]
    pub(crate) stderr: String,
}

/// The image to boot from with a driver, or one line about why there is none.
pub(crate) fn image_for(driver: &str) -> Option<PathBuf> {
    let chosen = std::env::var("RINGFENCE_TEST_DRIVER").is_ok_and(|chosen| chosen == driver);
    let image = std::env::var_os("RINGFENCE_IMAGE_DIR").filter(|_| chosen);
    if image.is_none() {
        eprintln!("SKIPPED: run with `cargo xtask test --only {driver}`");
    } else {
        assert!(rustix::process::geteuid().is_root(), "machines need root");
    }
    image.map(PathBuf::from)
}

/// The same for machines in namespaces.
pub(crate) fn image() -> Option<PathBuf> {
    image_for("nspawn")
}

impl Cloud {
    pub(crate) fn start(image: &Path, state_dir: &Path, more: &[&str]) -> Self {
        Self::with_driver("nspawn", image, state_dir, more)
    }

    pub(crate) fn with_driver(driver: &str, image: &Path, state_dir: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_local-cloud"))
            .args(["--driver", driver, "--boot-delay-ms", "50", "--delete-delay-ms", "0", "--exit-with-stdin"])
            .args(more)
            .env("LOCAL_CLOUD_TOKENS", TOKEN)
            .arg("--state-dir")
            .arg(state_dir)
            .arg("--image")
            .arg(image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("READY url=").expect("a READY line").to_owned();
        Self { child, url, client: Client::new() }
    }

    pub(crate) fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status();
        let bytes = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()))
    }

    /// The status that somebody with another token, or without one, is answered with.
    pub(crate) async fn send_as(&self, token: Option<&str>, path: &str, body: &Value) -> StatusCode {
        let mut request = self.client.post(format!("{}{path}", self.url)).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().status()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).await.1
    }

    /// Orders a machine and waits until cloud-init has done what its user-data says.
    pub(crate) async fn machine(&self, name: &str, image: &str, user_data: &Value) -> u64 {
        let order = json!({
            "name": name, "server_type": "cx23", "image": image, "location": "nbg1",
            "user_data": format!("#cloud-config\n{user_data}"),
        });
        let (status, created) = self.send(Method::POST, "/v1/servers", Some(order)).await;
        assert_eq!(status, StatusCode::CREATED, "{created}");
        let id = created["server"]["id"].as_u64().unwrap();
        self.booted(id).await;
        id
    }

    pub(crate) async fn booted(&self, id: u64) {
        eventually("cloud-init is done", async || {
            let (_, ran) =
                self.send(Method::POST, &format!("/_machines/{id}/exec"), Some(exec("cloud-init status"))).await;
            ran["stdout"].as_str().is_some_and(|text| text.contains("status: done"))
        })
        .await;
    }

    pub(crate) async fn status(&self, id: u64) -> String {
        let (status, body) = self.send(Method::GET, &format!("/v1/servers/{id}"), None).await;
        match status {
            StatusCode::NOT_FOUND => "gone".into(),
            _ => body["server"]["status"].as_str().unwrap().to_owned(),
        }
    }

    /// What `/_machines` says of one machine.
    pub(crate) async fn report(&self, id: u64) -> Value {
        let machines = self.get("/_machines").await;
        machines["machines"].as_array().unwrap().iter().find(|machine| machine["id"] == id).cloned().unwrap()
    }

    /// Runs a shell script in a machine.
    pub(crate) async fn inside(&self, id: u64, script: &str) -> Ran {
        self.ran(&format!("/_machines/{id}/exec"), script).await
    }

    /// Runs a shell script in the cloud, outside of every machine.
    pub(crate) async fn outside(&self, script: &str) -> Ran {
        self.ran("/_cloud/exec", script).await
    }

    async fn ran(&self, path: &str, script: &str) -> Ran {
        let (status, ran) = self.send(Method::POST, path, Some(exec(script))).await;
        assert_eq!(status, StatusCode::OK, "{ran}");
        let text = |name: &str| ran[name].as_str().unwrap().to_owned();
        Ran { exit: ran["exit"].as_i64().unwrap(), stdout: text("stdout"), stderr: text("stderr") }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn exec(script: &str) -> Value {
    json!({"argv": ["sh", "-c", script], "timeout_secs": PATIENCE.as_secs()})
}

/// Everything on this computer that carries the installation's name: namespaces, control groups, mounts, processes.
pub(crate) fn traces(state_dir: &Path) -> Vec<String> {
    let state = std::fs::read(state_dir.join("state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    let installation = state["installation"].as_str().unwrap().to_owned();
    let short = format!("ringfence-{}", &installation[..12]);
    let mut found = Vec::new();
    let folder = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    found.extend(folder(Path::new("/run/netns")).map(|entry| entry.path()).filter(|path| names(path, &short)));
    for hierarchy in folder(Path::new("/sys/fs/cgroup")) {
        let output =
            Command::new("find").arg(hierarchy.path()).args(["-maxdepth", "3", "-type", "d"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        found.extend(text.lines().filter(|line| line.contains(&installation)).map(PathBuf::from));
    }
    let mut found: Vec<String> = found.into_iter().map(|path| path.display().to_string()).collect();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let place = state_dir.display().to_string();
    found.extend(mounts.lines().filter(|line| line.contains(&place)).map(str::to_owned));
    for process in folder(Path::new("/proc")) {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(&format!("{place}/machines")) || words.contains(&short) {
            found.push(words);
        }
    }
    found
}

fn names(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let until = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < until, "never happened: {what}");
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}
