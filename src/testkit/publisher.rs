//! Publishes into memory.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    broker::down,
    event::Stored,
    memory::{Shared, State},
};
use crate::{
    broker::{Confirms, OpenError, Outgoing, Publisher},
    envelope::HeaderValue,
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal},
};

/// One link; a cut ends it.
pub(super) struct MemoryPublisher {
    shared: Arc<Shared>,
    cuts: u64,
}

impl MemoryPublisher {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, OpenError> {
        let cuts = shared.with(|state| (!state.cut).then_some(state.cuts)).ok_or_else(down)?;
        Ok(Self { shared, cuts })
    }

    fn alive(&self, state: &State) -> Result<(), LinkDown> {
        if state.cut || state.cuts != self.cuts { Err(LinkDown::new(Reason::Link, down().detail)) } else { Ok(()) }
    }
}

#[async_trait]
impl Publisher for MemoryPublisher {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let outcomes: Vec<_> = self.shared.with(|state| {
            self.alive(state)?;
            Ok::<_, LinkDown>(batch.iter().map(|outgoing| publish(state, outgoing)).collect())
        })?;
        Ok(Box::pin(async move { Ok(outcomes) }))
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        self.shared.with(|state| self.alive(state))
    }

    async fn close(self: Box<Self>) {}
}

fn publish(state: &mut State, outgoing: &Outgoing<'_>) -> Outcome {
    let queue = state.queue(outgoing.address);
    if let Some(until) = queue.throttled {
        let now = Instant::now();
        if now < until {
            return Outcome::Throttled { after: Some(until - now), detail: "the test throttles this queue".into() };
        }
        queue.throttled = None;
    }
    if queue.refuse > 0 {
        queue.refuse -= 1;
        return Outcome::Refused(Refusal::new(Reason::Refused, "the test refuses this message"));
    }
    let stored = stored(outgoing);
    queue.published.push(stored.clone());
    queue.waiting.push_back(stored);
    Outcome::Delivered(Proof::Confirmed)
}

fn stored(outgoing: &Outgoing<'_>) -> Stored {
    let mut headers = BTreeMap::new();
    outgoing.message.headers(&mut |name, value: HeaderValue<'_>| {
        if let Some(text) = value.to_text() {
            headers.insert(name.to_owned(), text.into_owned());
        }
    });
    headers.extend(outgoing.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    if !outgoing.content_type.is_empty() {
        headers.insert("content-type".to_owned(), outgoing.content_type.to_owned());
    }
    Stored {
        body: Bytes::copy_from_slice(outgoing.body),
        id: Some(outgoing.message.id().to_owned()),
        key: (!outgoing.key.is_empty()).then(|| outgoing.key.to_owned()),
        headers,
    }
}
