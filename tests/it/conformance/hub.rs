//! The hub's stand: the foreign client is a subscriber of the test's own, and a producer that waits for each verdict.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesOrdered};
use rialto::{
    broker::{House, Kind, hub::KIND},
    intake::calls,
    live::hub::{Hub, Reading, Subscriber, Topic, event},
    outcome::Verdict,
};
use tokio::{sync::Mutex, time::sleep};

use super::{Found, Picky, Place, Stand};
use crate::support::{self, rejected};

/// Far more than a test publishes.
const BUFFER: usize = 256 << 20;

/// Messages handed in with one call.
const CALL: usize = 10;

/// One hub, those who listen to its channels, and what producers still wait for.
pub(crate) struct InProcess {
    house: House,
    listeners: Mutex<HashMap<String, Subscriber>>,
    waiting: Arc<AtomicUsize>,
    refusing: Mutex<Option<Reading>>,
}

/// A channel that no other place has.
fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}:{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl InProcess {
    async fn listen(&self, channel: &str) {
        let mut listener = self.house.hub.subscriber(BUFFER);
        listener.subscribe(Topic::Channel(channel.to_owned().into()));
        self.listeners.lock().await.insert(channel.to_owned(), listener);
    }
}

#[async_trait]
impl Stand for InProcess {
    async fn start() -> Self {
        Self { house: support::house(), listeners: Mutex::default(), waiting: Arc::default(), refusing: Mutex::default() }
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn house(&self) -> House {
        self.house.clone()
    }

    fn server(&self) -> String {
        String::new()
    }

    fn settings(&self, _: &str) -> String {
        "hub://".into()
    }

    async fn place(&self) -> Place {
        let channel = unique("place");
        self.listen(&channel).await;
        Place { origin: format!("channel: {channel}"), target: format!("channel: {channel}"), address: channel }
    }

    async fn put(&self, place: &Place, bodies: &[String]) {
        self.waiting.fetch_add(bodies.len(), Ordering::SeqCst);
        let bodies = bodies.iter().map(|body| Bytes::from(body.clone())).collect();
        tokio::spawn(produce(self.house.hub.clone(), Bytes::from(place.address.clone()), bodies, Arc::clone(&self.waiting)));
    }

    async fn found(&self, place: &Place) -> Vec<Found> {
        let mut listeners = self.listeners.lock().await;
        let listener = listeners.get_mut(&place.address).expect("a place of this stand");
        let mut found = Vec::new();
        while let Ok(deliveries) = tokio::time::timeout(Duration::from_millis(100), listener.next()).await {
            found.extend(deliveries.expect("a buffer of this size").into_iter().map(|delivery| Found {
                body: delivery.message.body.to_vec(),
                id: None,
                name: None,
                headers: std::collections::BTreeMap::new(),
            }));
        }
        found
    }

    async fn waiting(&self, _: &Place) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// A channel that nobody minds, and one whose reader refuses everything.
    async fn picky(&self) -> Picky {
        let (good, bad) = (unique("good"), unique("bad"));
        let (caller, calls) = calls(64);
        *self.refusing.lock().await = Some(self.house.hub.read(Topic::Channel(bad.clone().into()), caller));
        let metrics = self.house.metrics.source("refusing");
        tokio::spawn(async move {
            let (door, mut arrivals) = rialto::intake::Door::new(100, 1 << 20, false, metrics);
            let (intake, closer) = door.intake();
            let refuse = async {
                while let Some(arrival) = arrivals.recv().await {
                    for index in 0..arrival.batch.len() {
                        arrival.ticket.settle(index as u32, rejected());
                    }
                }
            };
            tokio::join!(calls.serve(&intake), refuse);
            drop(closer);
        });
        Picky { target: "channel: '{payload.event_id}'".into(), good, bad }
    }
}

/// Publishes as a client of a door does: what nobody answers for is sent again.
async fn produce(hub: Hub, channel: Bytes, bodies: Vec<Bytes>, waiting: Arc<AtomicUsize>) {
    let source = loop {
        match hub.readers(&channel).into_iter().map(|reader| reader.caller).find(|source| !source.is_closed()) {
            Some(source) => break source,
            None => sleep(Duration::from_millis(5)).await,
        }
    };
    let mut calls: FuturesOrdered<_> = bodies
        .chunks(CALL)
        .map(|chunk| {
            let messages: Vec<_> = chunk.iter().map(|body| event(&channel, body, 0)).collect();
            let source = source.clone();
            async move { source.call(messages).await }
        })
        .collect();
    while let Some(Ok(verdicts)) = calls.next().await {
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Accepted), "{verdicts:?}");
        waiting.fetch_sub(verdicts.len(), Ordering::SeqCst);
    }
}
