//! A queue that is looked at, and nothing taken from it.
//!
//! A peek answers what is there at its moment, by sequence number. What comes and is settled between two looks is never seen: a tap is
//! a look at what waits, not a copy of the traffic. What waits already is passed over by asking where it ends, and not by reading it.

use std::time::Duration;

use async_trait::async_trait;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp_types::{
    messaging::{Body, Message},
    primitives::Value,
};
use tokio::time::sleep;

use super::{
    carrier::{Place, raw_message, sequence_number},
    fault::Fault,
    line::Line,
    management::{Management, node},
};
use crate::{
    broker::{Ended, Source, SourceError, untold::alongside},
    intake::{Intake, Offers},
};

/// Between two looks at a queue with nothing new in it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Each question for the end of a queue is so many times as far ahead as the one before.
const STRIDE: i64 = 16;

/// Messages asked for at once.
const LOOK_MAX: i32 = 100;

/// A queue that is looked at.
pub(super) struct Peeks {
    line: Line,
    looks: Looks,
}

/// Looks at one queue.
struct Looks {
    management: Management,
    _session: SessionHandle<()>,
    place: Place,
    /// The first sequence number not seen yet.
    from: i64,
}

/// Where a queue ends, narrowed by questions for what is there from a number on. Numbers grow with every message, with gaps.
#[derive(Debug)]
struct End {
    /// The end is not before this number.
    from: i64,
    /// Nothing was here or later when it was asked.
    beyond: Option<i64>,
    /// The next question is so far ahead: a queue is mostly much shorter than the numbers are long.
    step: i64,
}

impl End {
    fn new() -> Self {
        Self { from: 0, beyond: None, step: 0 }
    }

    /// From which number on to ask; `None` when the end is known.
    fn question(&self) -> Option<i64> {
        match self.beyond {
            None => (self.from < i64::MAX).then(|| self.from.saturating_add(self.step)),
            Some(beyond) => (self.from < beyond).then(|| self.from + (beyond - self.from) / 2),
        }
    }

    /// The first number that is there from `asked` on. What came meanwhile is beyond the end.
    fn answer(&mut self, asked: i64, found: Option<i64>) {
        match found.filter(|found| self.beyond.is_none_or(|beyond| *found < beyond)) {
            Some(found) => {
                self.from = found.max(asked).saturating_add(1);
                self.step = self.step.saturating_mul(STRIDE).max(STRIDE);
            }
            None => self.beyond = Some(asked),
        }
    }
}

impl Peeks {
    /// The caller bounds its time.
    pub(super) async fn attach(mut line: Line, place: Place) -> Result<Self, Fault> {
        line.claims.put(&place.path).await?;
        line.claims.put(&node(&place.path)).await?;
        let mut session = line.wire.session().await?;
        let management = Management::attach(&mut session, &place.path).await?;
        let mut looks = Looks { management, _session: session, place, from: 0 };
        looks.pass_over().await?;
        Ok(Self { line, looks })
    }
}

impl Looks {
    /// What waits already is not what comes from now on.
    async fn pass_over(&mut self) -> Result<(), Fault> {
        let mut end = End::new();
        while let Some(asked) = end.question() {
            let found = self.management.peek(asked, 1).await?;
            end.answer(asked, found.iter().find_map(sequence_number));
        }
        self.from = end.from;
        Ok(())
    }

    async fn look(&mut self) -> Result<Vec<Message<Body<Value>>>, Fault> {
        let seen = self.management.peek(self.from, LOOK_MAX).await?;
        let last = seen.iter().filter_map(sequence_number).max();
        self.from = last.map_or(self.from, |last| last.saturating_add(1).max(self.from));
        // Without a number it could only be seen again and again.
        Ok(if last.is_some() { seen } else { Vec::new() })
    }

    async fn read(&mut self, mut offers: Offers, intake: &Intake) -> Result<(), Fault> {
        loop {
            let seen = tokio::select! {
                biased;
                () = intake.closed() => return Ok(()),
                seen = self.look() => seen?,
            };
            let shown = |why: &&str| tracing::warn!(source = %self.place.path, why, "a message that cannot be read is not shown");
            let batch: Vec<_> =
                seen.into_iter().filter_map(|message| raw_message(message, &self.place).inspect_err(shown).ok()).collect();
            if batch.is_empty() {
                tokio::select! {
                    () = intake.closed() => return Ok(()),
                    () = sleep(LOOK_EVERY) => {}
                }
                continue;
            }
            let Ok(room) = offers.room().await else { return Ok(()) };
            room.offer(batch);
        }
    }
}

#[async_trait]
impl Source for Peeks {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let Self { line: Line { wire, mut claims }, mut looks } = *self;
        let (offers, receipts) = intake.open();
        let reading = Box::pin(async { looks.read(offers, &intake).await.map_err(SourceError::from) });
        let ended = tokio::select! {
            ended = alongside(reading, receipts) => ended?,
            fault = claims.keep() => return Err(fault.into()),
        };
        wire.close().await;
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks a queue of these numbers until its end is known; the end and how many questions it took.
    fn end_of(numbers: &[i64]) -> (i64, usize) {
        let mut end = End::new();
        let mut questions = 0;
        while let Some(asked) = end.question() {
            questions += 1;
            end.answer(asked, numbers.iter().copied().find(|number| *number >= asked));
        }
        (end.from, questions)
    }

    #[test]
    fn the_end_of_a_queue_is_behind_its_last_message_and_found_by_few_questions() {
        assert_eq!(end_of(&[]), (0, 1));
        let many: Vec<i64> = (1..=1_000_000).collect();
        let old: Vec<i64> = (1 << 40..(1 << 40) + 100).collect();
        // A partitioned queue has the partition in the upper 16 bits.
        let parted = [5, (1 << 48) + 3, (2 << 48) + 9, (255 << 48) + 1];
        for (numbers, most) in [(&[1][..], 8), (&many, 32), (&old, 16), (&parted, 80)] {
            let (end, questions) = end_of(numbers);
            let last = *numbers.last().unwrap();
            assert!(end > last && numbers.iter().all(|number| *number < end), "{end} for {last}");
            assert!(questions <= most, "{questions} questions for an end at {end}");
        }
    }

    #[test]
    fn what_comes_while_the_end_is_looked_for_is_beyond_it() {
        let mut end = End::new();
        let mut last = 1000;
        while let Some(asked) = end.question() {
            end.answer(asked, (asked <= last).then_some(asked.max(1)));
            last += i64::from(end.beyond.is_some()) * 100;
        }
        assert!(end.from <= end.beyond.unwrap(), "{end:?}");
        assert!(end.from > 1000 && end.from <= last, "{end:?} of {last}");
    }
}
