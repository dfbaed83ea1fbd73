//! A server that gives the answers it was told to give, in order, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One answer.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Status, headers and body.
    Says(u16, Vec<(&'static str, &'static str)>, String),
    /// The connection closes without a byte.
    Lost,
}

impl Answer {
    pub(crate) fn json(status: u16, body: serde_json::Value) -> Self {
        Self::Says(status, vec![], body.to_string())
    }
}

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path_and_query: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

pub(crate) struct Scripted {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
        let task = tokio::spawn(serve(listener, asked.clone(), answers));
        Self { url, asked, task }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, asked: Arc<Mutex<Vec<Asked>>>, answers: Arc<Mutex<VecDeque<Answer>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (asked, answers) = (asked.clone(), answers.clone());
        let service = service_fn(move |request| answer(request, asked.clone(), answers.clone()));
        tokio::spawn(async move {
            // An error here is an answer that was lost on purpose, or a client that went away.
            let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
) -> std::io::Result<Response<String>> {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(axum::body::Body::new(body), 1 << 20).await.unwrap();
    let authorization = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    asked.lock().unwrap().push(Asked {
        method: head.method.to_string(),
        path_and_query: head.uri.to_string(),
        authorization: authorization.unwrap_or_default(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let answer = answers.lock().unwrap().pop_front().expect("asked more often than told");
    match answer {
        Answer::Says(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(body).unwrap())
        }
        Answer::Lost => Err(std::io::Error::other("lost on purpose")),
    }
}
