//! What a client publishes: to the subscribers at once, and where sources of the bridge read the channel, settled before the reply.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::time::timeout;

use crate::{
    intake::Unanswered,
    live::hub::{Hub, Judged, Round, event},
    outcome::{Refusal, Verdict},
};

/// How long a client waits for the bridge to settle what it published.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// The publishes of one client, answered in their order. Those that nobody but subscribers reads are answered at once; the others
/// wait for their verdicts together, not one after the other.
pub(super) struct Publishing {
    hub: Hub,
    /// Not yet handed to the sources.
    round: Round,
    receivers: Vec<u64>,
    open: FuturesOrdered<BoxFuture<'static, Vec<Published>>>,
    waiting: usize,
    published: u64,
}

/// How many got it, or why the bridge did not take it.
pub(super) type Published = Result<u64, Untaken>;

/// Why the bridge did not take a publish: a sentence for the client.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Untaken {
    /// A source would not have it.
    #[error("the bridge refused it: {0}")]
    Refused(Arc<Refusal>),
    /// No verdict in time.
    #[error("not settled within {} s; it may still be delivered", SETTLE_WITHIN.as_secs())]
    Late,
    /// No verdict at all.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

impl Publishing {
    /// Nothing yet.
    pub(super) fn new(hub: Hub) -> Self {
        Self { hub, round: Round::default(), receivers: Vec::new(), open: FuturesOrdered::new(), waiting: 0, published: 0 }
    }

    /// Publishes. Answers the receivers where nothing has to be waited for; else the answer comes from [`Publishing::next`].
    pub(super) fn publish(&mut self, channel: Bytes, body: Bytes) -> Option<u64> {
        self.published += 1;
        let readers = self.hub.readers(&channel);
        if readers.is_empty() && self.waiting == 0 {
            return Some(self.hub.publish(channel, body, "").receivers);
        }
        let count = readers.len() as u64;
        if !readers.is_empty() {
            self.round.add(self.receivers.len(), readers, &event(&channel, &body, 0));
        }
        self.receivers.push(self.hub.publish(channel, body, "").receivers + count);
        self.waiting += 1;
        None
    }

    /// Publishes so far.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// Publishes whose answer is still to come.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Hands what was published since the last call to the sources that read it.
    pub(super) async fn hand_over(&mut self) {
        if self.receivers.is_empty() {
            return;
        }
        let (round, receivers) = (std::mem::take(&mut self.round), std::mem::take(&mut self.receivers));
        let judged = round.call().await;
        self.open.push_back(settle(judged, receivers).boxed());
    }

    /// The next answers, in the order of their publishes; waits for ever where none are to come. Cancel-safe.
    pub(super) async fn next(&mut self) -> Vec<Published> {
        match self.open.next().await {
            Some(answers) => {
                self.waiting -= answers.len();
                answers
            }
            None => std::future::pending().await,
        }
    }
}

async fn settle(judged: BoxFuture<'static, Vec<Judged>>, receivers: Vec<u64>) -> Vec<Published> {
    let mut answers: Vec<Published> = receivers.into_iter().map(Ok).collect();
    let Ok(judged) = timeout(SETTLE_WITHIN, judged).await else {
        return answers.iter().map(|_| Err(Untaken::Late)).collect();
    };
    for (place, verdict) in judged {
        match verdict {
            Ok(Verdict::Accepted) => {}
            Ok(Verdict::Rejected(refusal)) => answers[place] = Err(Untaken::Refused(refusal)),
            Err(unanswered) => answers[place] = Err(unanswered.into()),
        }
    }
    answers
}

impl fmt::Debug for Publishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
