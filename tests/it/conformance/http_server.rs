//! The stand of `http_server`: the foreign client is a producer that posts, and posts again until it hears 200.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use reqwest::Client;
use rialto::broker::{Kind, http_server::KIND};
use tokio::{sync::Semaphore, time::sleep};

use super::{Found, Picky, Place, Stand};

/// Requests that a producer has open at once.
const OPEN: usize = 1000;

/// An address that nobody else has, and the requests that are not answered.
pub(crate) struct Posting {
    address: String,
    client: Client,
    waiting: Arc<AtomicUsize>,
}

#[async_trait]
impl Stand for Posting {
    async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port of loopback").local_addr().expect("an address");
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { address: free.to_string(), client: Client::builder().no_proxy().build().expect("a client"), waiting: Arc::default() }
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        String::new()
    }

    fn settings(&self, _: &str) -> String {
        format!("listen: {}", self.address)
    }

    async fn place(&self) -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = format!("/place/{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let origin = format!("path: {path}\nmessage_max: 64MiB");
        Place { origin, target: String::new(), address: format!("http://{}{path}", self.address) }
    }

    async fn put(&self, place: &Place, bodies: &[String]) {
        self.waiting.fetch_add(bodies.len(), Ordering::SeqCst);
        let open = Arc::new(Semaphore::new(OPEN));
        let (client, url, waiting) = (self.client.clone(), place.address.clone(), Arc::clone(&self.waiting));
        let bodies = bodies.to_vec();
        tokio::spawn(async move {
            for body in bodies {
                let place = Arc::clone(&open).acquire_owned().await.expect("an open semaphore");
                let (client, url, waiting) = (client.clone(), url.clone(), Arc::clone(&waiting));
                tokio::spawn(async move {
                    post(&client, &url, &body).await;
                    waiting.fetch_sub(1, Ordering::SeqCst);
                    drop(place);
                });
            }
        });
    }

    async fn found(&self, _: &Place) -> Vec<Found> {
        unreachable!("nothing is published to it")
    }

    async fn waiting(&self, _: &Place) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    async fn picky(&self) -> Picky {
        unreachable!("nothing is published to it")
    }
}

/// Until it is taken: nobody listens yet, or the source is not open, or it is stopping.
async fn post(client: &Client, url: &str, body: &str) {
    loop {
        match client.post(url).header("content-type", "application/json").body(body.to_owned()).send().await {
            Ok(answer) if answer.status() == 200 => return,
            Ok(answer) => assert_eq!(answer.status(), 503, "{:?}", answer.text().await),
            Err(error) => assert!(error.is_connect() || error.is_request(), "{error:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}
