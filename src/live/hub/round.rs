//! A batch of publishes, as the sources of the bridge that read them hear it: one call for each source, whatever the number of
//! messages.

use std::future::ready;

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
    poll,
};
use tokio::task::coop;

use super::Reader;
use crate::{envelope::RawMessage, intake::Unanswered, outcome::Verdict};

/// Messages of a batch, by the source that reads them.
#[derive(Debug, Default)]
pub struct Round(Vec<Call>);

#[derive(Debug)]
struct Call {
    reader: Reader,
    /// Their places in the batch.
    places: Vec<usize>,
    messages: Vec<RawMessage>,
}

/// What a source made of the message at a place of the batch. A message that several sources read has one from each.
pub type Judged = (usize, Result<Verdict, Unanswered>);

type Answer = BoxFuture<'static, (Vec<usize>, Result<Vec<Verdict>, Unanswered>)>;

impl Round {
    /// Adds the message at `place`, which `readers` read.
    pub fn add(&mut self, place: usize, readers: Vec<Reader>, message: &RawMessage) {
        for reader in readers {
            if let Some(call) = self.0.iter_mut().find(|call| call.reader.id == reader.id) {
                call.places.push(place);
                call.messages.push(message.clone());
            } else {
                self.0.push(Call { reader, places: vec![place], messages: vec![message.clone()] });
            }
        }
    }

    /// True where no source reads any of them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls the sources. When this returns, the messages have their place before those of any later round; the answer has what the
    /// sources made of them, once all have settled.
    pub async fn call(self) -> BoxFuture<'static, Vec<Judged>> {
        let mut answers = Vec::with_capacity(self.0.len());
        for call in self.0 {
            answers.push(start(call).await);
        }
        join_all(answers).map(|answers| answers.into_iter().flat_map(judged).collect()).boxed()
    }
}

/// Fixes a call's place in the source's queue: its first poll, without a task's budget that could delay it, puts it there.
async fn start(Call { reader, places, messages }: Call) -> Answer {
    let call = async move { (places, reader.caller.call(messages).await) };
    let mut call: Answer = Box::pin(coop::unconstrained(call));
    match poll!(&mut call) {
        std::task::Poll::Ready(answer) => ready(answer).boxed(),
        std::task::Poll::Pending => call,
    }
}

fn judged((places, answer): (Vec<usize>, Result<Vec<Verdict>, Unanswered>)) -> Vec<Judged> {
    match answer {
        Ok(verdicts) => places.into_iter().zip(verdicts.into_iter().map(Ok)).collect(),
        Err(unanswered) => places.into_iter().map(|place| (place, Err(unanswered))).collect(),
    }
}
