//! Handing messages in, and waiting for what becomes of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::{
    answer::{Answer, Told, busy},
    carrier::HttpCarrier,
    origin::Terms,
    remembered::{Remembered, Seen, Turn},
    split::raw,
};
use crate::{
    intake::Caller,
    listen::{Body, Problem},
    telemetry::SourceMetrics,
};

/// Messages of one request that are handed in together: the window is passed by at most so many.
const CHUNK: usize = 256;

/// A pipeline that says nothing for so long about a request that nobody waits for any more is not waited for either.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The way in of one incarnation.
pub(super) struct Delivery {
    pub(super) caller: Caller,
    pub(super) terms: Arc<Terms>,
    pub(super) remembered: Arc<Remembered>,
    pub(super) metrics: SourceMetrics,
}

/// The messages of one request.
pub(super) struct Messages {
    pub(super) all: Vec<(Arc<HttpCarrier>, Bytes)>,
    /// The answer lists them, even where there is only one.
    pub(super) listed: bool,
}

impl Delivery {
    /// Messages of a request without a key: what becomes of them is told to who asked, if he is still there.
    pub(super) async fn deliver(&self, messages: &Messages) -> Response<Body> {
        self.answer(messages, self.terms.respond_within).await.response(false)
    }

    /// Messages under a key: once they are being delivered, that goes on whoever waits.
    pub(super) async fn deliver_once(
        self: &Arc<Self>,
        key: &str,
        content: &[&[u8]],
        messages: Messages,
    ) -> Result<Response<Body>, Problem> {
        let again = match self.remembered.see(key, content, Instant::now()) {
            Seen::First(turn) => {
                let answer = turn.answer();
                tokio::spawn(Arc::clone(self).run(turn, messages));
                (answer, false)
            }
            Seen::Running(answer) => (answer, true),
            Seen::Settled(answer) => {
                self.metrics.duplicate(1);
                return Ok(answer.response(true));
            }
            Seen::Other => {
                let detail = "another request had this key (`Idempotency-Key`, `webhook-id`, `message_id`)";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with("reason", "key_reused"));
            }
        };
        let (mut answer, again) = again;
        if again {
            self.metrics.duplicate(1);
        }
        let told = timeout(self.terms.respond_within, answer.wait_for(Option::is_some)).await;
        match told {
            Ok(Ok(answer)) => Ok(answer.clone().map_or_else(unknown, |answer| answer.response(again))),
            Ok(Err(_)) => Ok(unknown()),
            Err(_) => Err(busy("no verdict within `respond_within`; the same key asks again")),
        }
    }

    async fn run(self: Arc<Self>, turn: Turn, messages: Messages) {
        let answer = self.answer(&messages, FORGOTTEN_AFTER).await;
        // Let go before it is told: who hears it may send as much again.
        drop(messages);
        turn.tell(&answer, Instant::now());
    }

    async fn answer(&self, messages: &Messages, within: Duration) -> Answer {
        let all = &messages.all;
        if let ([(carrier, _)], false) = (&all[..], messages.listed) {
            let told = match timeout(within, self.caller.call(vec![raw(&all[0])])).await {
                Ok(Ok(mut verdicts)) => verdicts.pop().map_or(Told::Unanswered, Told::Verdict),
                Ok(Err(_)) => Told::Unanswered,
                Err(_) => Told::Late,
            };
            return Answer::one(&told, carrier.identity.get().map(AsRef::as_ref));
        }
        let told = self.told(all, Deadline::now() + within).await;
        let ids = all.iter().map(|(carrier, _)| carrier.identity.get().map(AsRef::as_ref));
        Answer::many(told.into_iter().zip(ids))
    }

    /// What becomes of many, a chunk after the other. What was not handed in when the time was over never is.
    async fn told(&self, all: &[(Arc<HttpCarrier>, Bytes)], until: Deadline) -> Vec<Told> {
        let mut told = Vec::with_capacity(all.len());
        for chunk in all.chunks(CHUNK) {
            let rest = match timeout_at(until, self.caller.call(chunk.iter().map(raw).collect())).await {
                Ok(Ok(verdicts)) => {
                    told.extend(verdicts.into_iter().map(Told::Verdict));
                    continue;
                }
                Ok(Err(_)) => Told::Unanswered,
                Err(_) => Told::Late,
            };
            told.resize(all.len(), rest);
            break;
        }
        told
    }
}

/// The one who delivered it is gone.
fn unknown() -> Response<Body> {
    Answer::one(&Told::Unanswered, None).response(false)
}
