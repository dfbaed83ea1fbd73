//! An engine for tests: answers at a socket of its own as it is told, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::api::Api;
use crate::workspaces::task::Task;

/// A status and a body, which may be withheld.
pub(super) type Answer = (u16, String);

/// The engine. Dropping it ends it.
pub(super) struct FakeEngine {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: Task,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Method and path.
    pub(super) line: String,
    headers: Vec<String>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().filter_map(|line| line.split_once(": "));
        found.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl FakeEngine {
    /// An engine that gives these answers; one of status 0 it begins and never ends.
    pub(super) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answer, heard) = (Arc::new(answer), Arc::clone(&asked));
        let serving = Task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, heard) = (Arc::clone(&answer), Arc::clone(&heard));
                tokio::spawn(async move {
                    let _ = serve(stream, |request| {
                        heard.lock().unwrap().push(request.clone());
                        answer(&request)
                    })
                    .await;
                });
            }
        });
        Self { dir, asked, _serving: serving }
    }

    pub(super) fn api(&self) -> Api {
        Api::unmet(&self.dir.path().join("engine.sock"))
    }

    /// Everything so far, without the version that paths begin with.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(stream: UnixStream, answer: impl Fn(Asked) -> Answer) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.remove(0);
        let line = line.strip_suffix(" HTTP/1.1").unwrap_or(&line);
        // Engines' paths begin with a version.
        let line = match line.split_once(" /v1.") {
            Some((method, rest)) => format!("{method} /{}", rest.split_once('/').map_or("", |(_, path)| path)),
            None => line.to_owned(),
        };
        let asked = Asked { line, headers: lines };
        let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let (status, body) = answer(asked);
        let head = "Content-Type: application/json\r\n";
        if status == 0 {
            let chunk = format!("{:x}\r\n{body}\r\n", body.len());
            let begun = format!("HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n{chunk}");
            stream.write_all(begun.as_bytes()).await?;
            // Until whoever asked goes away.
            let mut rest = [0; 1];
            return tokio::time::timeout(Duration::from_secs(3600), stream.read(&mut rest))
                .await
                .map(drop)
                .map_err(Into::into);
        }
        let whole = format!("HTTP/1.1 {status} x\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(whole.as_bytes()).await?;
    }
}
