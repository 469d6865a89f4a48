//! The other side: an endpoint that writes down every request and answers as it is told.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
}

impl Post {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status, with headers.
    Status(u16, Vec<(&'static str, String)>),
    /// A status, with a text.
    Says(u16, &'static str),
    /// A status, after this time.
    Slow(u16, Duration),
    /// 200, after this time.
    Late(Duration),
    /// Never.
    Hang,
    /// 200, and a body of one byte a second that does not end.
    Drip,
    /// 200, and a body without an end, as fast as it is taken.
    Flood,
    /// The connection is closed instead.
    Close,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }
}

type Script = dyn Fn(&Post, usize) -> Answer + Send + Sync;
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The endpoint. Dropped, it is gone.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    posts: Mutex<Vec<Post>>,
    script: Box<Script>,
    connections: AtomicUsize,
    /// Requests being answered, and the most there were at once.
    busy: AtomicUsize,
    busiest: AtomicUsize,
}

impl Endpoint {
    /// One that answers by a script, which sees each request and how many came before it.
    pub(crate) async fn start(script: impl Fn(&Post, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script).await
    }

    pub(crate) async fn start_at(address: &str, script: impl Fn(&Post, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port of loopback");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            posts: Mutex::default(),
            script: Box::new(script),
            connections: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            busiest: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// One that is content with everything.
    pub(crate) async fn content() -> Self {
        Self::start(|_, _| Answer::status(204)).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order in which they came whole.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.shared.posts.lock().expect("no panic").clone()
    }

    /// The same, and forgets them.
    pub(crate) fn take(&self) -> Vec<Post> {
        std::mem::take(&mut *self.shared.posts.lock().expect("no panic"))
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.posts().iter().map(Post::text).collect()
    }

    /// Connections opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The most requests that were here at once.
    pub(crate) fn busiest(&self) -> usize {
        self.shared.busiest.load(Ordering::SeqCst)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a live socket");
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            // A client that goes away is what some tests are about.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, &'static str> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| "cut off")?.to_bytes().to_vec();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let post = Post { path: head.uri.to_string(), headers, body, at: Instant::now() };
    let busy = shared.busy.fetch_add(1, Ordering::SeqCst) + 1;
    shared.busiest.fetch_max(busy, Ordering::SeqCst);
    let before = {
        let mut posts = shared.posts.lock().expect("no panic");
        posts.push(post.clone());
        posts.len() - 1
    };
    let answered = respond((shared.script)(&post, before)).await;
    shared.busy.fetch_sub(1, Ordering::SeqCst);
    answered
}

async fn respond(answer: Answer) -> Result<Response<Body>, &'static str> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"said")).boxed_unsync());
    match answer {
        Answer::Status(status, headers) => {
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().expect("a value"));
            }
            if status == 204 || status == 304 {
                *response.body_mut() = Full::default().boxed_unsync();
            }
        }
        Answer::Slow(status, time) => {
            sleep(time).await;
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        }
        Answer::Says(status, text) => {
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            *response.body_mut() = Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync();
        }
        Answer::Late(time) => sleep(time).await,
        Answer::Hang => std::future::pending().await,
        Answer::Drip => {
            let drops = stream::unfold((), |()| async {
                sleep(Duration::from_secs(1)).await;
                Some((Ok(Frame::data(Bytes::from_static(b"."))), ()))
            });
            *response.body_mut() = StreamBody::new(drops).boxed_unsync();
        }
        Answer::Flood => {
            let chunk = Bytes::from(vec![b'x'; 64 << 10]);
            *response.body_mut() = StreamBody::new(stream::repeat_with(move || Ok(Frame::data(chunk.clone())))).boxed_unsync();
        }
        Answer::Close => return Err("closed on purpose"),
    }
    Ok(response)
}
