//! A client with a token, a cloud to talk to, and waiting for conditions.

use local_cloud::{Cloud, Settings, listen, serve};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough for a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);
pub(crate) const TOKENS: [&str; 2] = ["first-token", "second-token"];

/// A cloud in this process.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) state_dir: TempDir,
    end: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
}

/// A client of one project.
#[derive(Clone)]
pub(crate) struct Actor {
    client: Client,
    url: String,
    token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

pub(crate) fn agent() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/agent.sh")
}

/// Settings whose delays are no longer than they need to be to be seen.
pub(crate) fn quick(state_dir: &Path) -> Settings {
    Settings {
        boot_delay: Duration::from_millis(60),
        delete_delay: Duration::from_millis(60),
        restart_delay: Duration::from_millis(20),
        ..Settings::new(state_dir, agent(), TOKENS.map(str::to_owned).to_vec())
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    pub(crate) async fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        let state_dir = tempfile::tempdir().unwrap();
        let settings = change(quick(state_dir.path()));
        Self::open(state_dir, settings).await
    }

    async fn open(state_dir: TempDir, settings: Settings) -> Self {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cloud = Cloud::open(settings).await.unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(cloud, listener, async {
            let _ = ended.await;
        }));
        Self { url, state_dir, end: Some(end), served: Some(served) }
    }

    /// Ends the cloud, with its machines.
    pub(crate) async fn end(mut self) -> TempDir {
        drop(self.end.take());
        self.served.take().unwrap().await.unwrap();
        self.state_dir
    }

    /// Ends it and starts it again on the same directory.
    pub(crate) async fn restart(self) -> Self {
        let state_dir = self.end().await;
        let settings = quick(state_dir.path());
        Self::open(state_dir, settings).await
    }

    pub(crate) fn actor(&self) -> Actor {
        Actor::new(&self.url, TOKENS[0])
    }
}

impl Actor {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        Self { client: Client::new(), url: url.to_owned(), token: token.to_owned() }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Answer> {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await?;
        let body =
            serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
        Ok(Answer { status, headers, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await.unwrap()
    }

    /// Bytes that need not be JSON.
    pub(crate) async fn post_raw(&self, path: &str, body: &'static str) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.token).body(body);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: serde_json::from_slice(&response.bytes().await.unwrap()).unwrap() }
    }

    /// Creates a server whose agent behaves so, and waits until it has left `initializing`.
    pub(crate) async fn machine(&self, name: &str, behaviour: &str) -> u64 {
        let mut order = server_order(name);
        order["user_data"] = user_data(behaviour).into();
        let id = self.create(order).await;
        eventually("the server is up", async || self.status(id).await != "initializing").await;
        id
    }

    pub(crate) async fn create(&self, order: Value) -> u64 {
        let created = self.post("/v1/servers", order).await;
        assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
        created.body["server"]["id"].as_u64().unwrap()
    }

    /// The status of a server, or "gone".
    pub(crate) async fn status(&self, id: u64) -> String {
        let answer = self.get(&format!("/v1/servers/{id}")).await;
        match answer.status {
            StatusCode::NOT_FOUND => "gone".into(),
            _ => answer.body["server"]["status"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn names(&self, query: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/servers{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        let servers = answer.body["servers"].as_array().unwrap();
        servers.iter().map(|server| server["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What `/_machines` says of one server.
    pub(crate) async fn report(&self, id: u64) -> Value {
        let machines = self.get("/_machines").await.body;
        let machines = machines["machines"].as_array().unwrap();
        machines.iter().find(|machine| machine["id"] == id).cloned().unwrap_or_default()
    }

    pub(crate) async fn state_of(&self, id: u64) -> PathBuf {
        PathBuf::from(self.report(id).await["directory"].as_str().unwrap()).join("state")
    }
}

impl Answer {
    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["error"]["code"].as_str().unwrap_or("none"))
    }
}

pub(crate) fn server_order(name: &str) -> Value {
    json!({"name": name, "server_type": "cx23", "image": "debian-12", "location": "nbg1"})
}

pub(crate) fn user_data(behaviour: &str) -> String {
    let document = json!({"write_files": [
        {"path": "/etc/ringfence/agent.json", "content": behaviour, "permissions": "0600"},
    ]});
    format!("#cloud-config\n{document}")
}

/// The processes that an agent wrote down.
pub(crate) fn started(state: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(state.join("started")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// A zombie is dead: nobody may have collected it yet.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let until = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < until, "never happened: {what}");
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}
