//! The webhook's stand: an endpoint of the test's own, and a path for each place.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use rialto::broker::{Kind, webhook::KIND};

use super::{Found, Picky, Place, Stand};
use crate::webhook::server::{Answer, Endpoint, Post};

/// An endpoint that refuses what is posted below `/bad`.
pub(crate) struct Server(Endpoint);

fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}/{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[async_trait]
impl Stand for Server {
    async fn start() -> Self {
        let answer = |post: &Post| if post.path.starts_with("/bad/") { Answer::status(500) } else { Answer::status(200) };
        Self(Endpoint::start(move |post, _| answer(post)).await)
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        self.0.address.to_string()
    }

    fn settings(&self, address: &str) -> String {
        format!("http://{address}")
    }

    async fn place(&self) -> Place {
        let path = unique("hooks");
        Place { origin: String::new(), target: format!("path: {path}"), address: path }
    }

    async fn put(&self, _: &Place, _: &[String]) {
        unreachable!("a webhook is no source");
    }

    async fn found(&self, place: &Place) -> Vec<Found> {
        let path = format!("/{}", place.address);
        let posts = self.0.take().into_iter().filter(|post| post.path == path);
        posts
            .map(|post| Found {
                id: post.header("webhook-id").map(str::to_owned),
                name: post.header("rialto-message-name").map(str::to_owned),
                headers: post.headers,
                body: post.body,
            })
            .collect()
    }

    async fn waiting(&self, _: &Place) -> usize {
        unreachable!("a webhook is no source");
    }

    async fn picky(&self) -> Picky {
        Picky { target: "path: '{payload.event_id}'".into(), good: unique("good"), bad: unique("bad") }
    }
}
