//! For sources whose producers wait for the verdict: an HTTP request, a `PUBLISH` at the gateway's door.
//!
//! The [`Caller`] is for whoever takes requests. [`Calls`] is the source's end: it gathers what came into batches, offers them, and
//! hands each caller the verdicts of its own messages. Both live for one incarnation of the source.

use std::{collections::VecDeque, fmt};

use tokio::sync::{mpsc, oneshot};

use super::{FeedEnd, Intake, Offers, Seq, Settled};
use crate::{envelope::RawMessage, outcome::Verdict};

/// Messages that are gathered into one batch.
const BATCH_MESSAGES: usize = 256;

/// One request: its messages, and where its verdicts go.
#[derive(Debug)]
struct Call {
    messages: Vec<RawMessage>,
    answer: oneshot::Sender<Vec<Verdict>>,
}

impl Call {
    /// False once its caller has given up: it was told "not taken", and will call again.
    fn is_waited_for(&self) -> bool {
        !self.answer.is_closed()
    }
}

/// Nobody can say what became of the messages: the bridge stops, or its pipeline began anew. They may still be delivered; who sends
/// them again sends the same ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bridge is stopping or starting again; the messages may or may not have been taken")]
pub struct Unanswered;

/// The producers' end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller(mpsc::Sender<Call>);

/// The source's end, for one incarnation.
pub struct Calls {
    waiting: mpsc::Receiver<Call>,
    /// Offered and without all their verdicts, by their first number.
    open: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    first: Seq,
    verdicts: Vec<Option<Verdict>>,
    missing: usize,
    answer: oneshot::Sender<Vec<Verdict>>,
}

/// Both ends; `waiting_max` calls wait before [`Caller::call`] does.
pub fn calls(waiting_max: usize) -> (Caller, Calls) {
    let (sender, waiting) = mpsc::channel(waiting_max.max(1));
    (Caller(sender), Calls { waiting, open: VecDeque::new() })
}

impl Caller {
    /// Hands in messages and waits for the verdict on each, in order. It waits for room too, without a bound: the caller bounds it.
    /// Given up after the messages were taken, they are delivered all the same.
    pub async fn call(&self, messages: Vec<RawMessage>) -> Result<Vec<Verdict>, Unanswered> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        self.0.send(Call { messages, answer }).await.map_err(|_| Unanswered)?;
        answered.await.map_err(|_| Unanswered)
    }

    /// True where a call would have to wait for others to be taken: the window is full, or the source is paused.
    pub fn is_busy(&self) -> bool {
        self.0.capacity() == 0
    }

    /// True once the source's end is gone.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Calls {
    /// Serves callers until the intake closes, and then those whose messages were offered.
    pub async fn serve(mut self, intake: &Intake) -> FeedEnd {
        let (offers, mut receipts) = intake.open_prompt();
        let mut offers = Some(offers);
        loop {
            let reading = Self::gather(&mut self.waiting, offers.as_mut());
            let step = tokio::select! {
                biased;
                settled = receipts.next() => Step::Settled(settled),
                taken = reading => Step::Taken(taken),
            };
            match step {
                Step::Settled(Ok(settled)) => self.answer(settled),
                Step::Settled(Err(end)) => return end,
                Step::Taken(Some((first, calls))) => self.note(first, calls),
                Step::Taken(None) => {
                    drop(offers.take());
                    // Those that wait and were not offered hear `Unanswered`, now and not when the last one in flight has landed.
                    self.waiting.close();
                    while self.waiting.try_recv().is_ok() {}
                }
            }
        }
    }

    /// Waits for room, takes what has come and offers it as one batch; `None` once nothing more may be offered.
    async fn gather(waiting: &mut mpsc::Receiver<Call>, offers: Option<&mut Offers>) -> Option<(Seq, Vec<(usize, Answer)>)> {
        let Some(offers) = offers else { return std::future::pending().await };
        let room = offers.room().await.ok()?;
        // A call is taken and offered in one step, without an await between: a dropped future loses none.
        let first = loop {
            let call = tokio::select! {
                biased;
                () = room.closed() => return None,
                call = waiting.recv() => call?,
            };
            if call.is_waited_for() {
                break call;
            }
        };
        let (mut batch, mut calls) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(Call { messages, answer }) = next {
            calls.push((messages.len(), answer));
            batch.extend(messages);
            let full = batch.len() >= BATCH_MESSAGES.min(room.messages());
            next = if full { None } else { std::iter::from_fn(|| waiting.try_recv().ok()).find(Call::is_waited_for) };
        }
        Some((room.offer(batch), calls))
    }

    fn note(&mut self, mut first: Seq, calls: Vec<(usize, Answer)>) {
        for (messages, answer) in calls {
            self.open.push_back(Open { first, verdicts: vec![None; messages], missing: messages, answer });
            first += messages as u64;
        }
    }

    fn answer(&mut self, settled: Settled) {
        for (seq, verdict) in settled.alone {
            self.verdict(seq, verdict);
        }
        // Below the prefix every number has its verdict, and what was not named is accepted.
        for open in self.open.iter_mut().take_while(|open| open.first < settled.prefix) {
            let below = (settled.prefix - open.first) as usize;
            for verdict in open.verdicts.iter_mut().take(below).filter(|verdict| verdict.is_none()) {
                *verdict = Some(Verdict::Accepted);
                open.missing -= 1;
            }
        }
        self.tell();
    }

    fn verdict(&mut self, seq: Seq, verdict: Verdict) {
        let after = self.open.partition_point(|open| open.first <= seq);
        let Some(open) = after.checked_sub(1).and_then(|at| self.open.get_mut(at)) else { return };
        if let Some(place @ None) = open.verdicts.get_mut((seq - open.first) as usize) {
            *place = Some(verdict);
            open.missing -= 1;
        }
    }

    /// Answers the calls that have all their verdicts.
    fn tell(&mut self) {
        let mut at = 0;
        while let Some(open) = self.open.get(at) {
            if open.missing > 0 {
                at += 1;
            } else if let Some(Open { verdicts, answer, .. }) = self.open.remove(at) {
                // Who has given up waiting is not told.
                let _ = answer.send(verdicts.into_iter().flatten().collect());
            }
        }
    }
}

type Answer = oneshot::Sender<Vec<Verdict>>;

enum Step {
    Settled(Result<Settled, FeedEnd>),
    Taken(Option<(Seq, Vec<(usize, Answer)>)>),
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
