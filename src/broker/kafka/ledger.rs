//! Who has been answered: a batch is a row of outcomes, and each message carries its place in it through librdkafka and back.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::outcome::{LinkDown, Outcome, Reason};

/// What a batch is answered with.
pub(super) type Answers = Result<Vec<Outcome>, LinkDown>;

/// Bits of a slot that hold a message's place in its batch.
const PLACE_BITS: u32 = 16;

/// Numbers of batches start again behind this one.
const NUMBERS: usize = usize::MAX >> PLACE_BITS;

/// Messages in one batch, at most.
pub(super) const BATCH_MAX: usize = 1 << PLACE_BITS;

/// Where one message's outcome goes: its batch's number and its place in it, in the one word that librdkafka carries for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Slot {
    /// The slot of a message of the batch of this number.
    pub(super) fn new(batch: usize, place: usize) -> Self {
        Self((batch << PLACE_BITS) | place)
    }

    /// As librdkafka carries it.
    pub(super) fn to_word(self) -> usize {
        self.0
    }

    /// As it comes back.
    pub(super) fn of_word(word: usize) -> Self {
        Self(word)
    }

    /// True where both are of one batch.
    pub(super) fn is_beside(self, other: Self) -> bool {
        self.batch() == other.batch()
    }

    fn place(self) -> usize {
        self.0 & (BATCH_MAX - 1)
    }

    fn batch(self) -> usize {
        self.0 >> PLACE_BITS
    }
}

/// The batches of one link that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    /// The number of the oldest row.
    first: usize,
    open: VecDeque<Row>,
    /// Set once, when the link has ended.
    down: Option<LinkDown>,
}

#[derive(Debug)]
struct Row {
    outcomes: Vec<Outcome>,
    /// Messages that have no outcome yet, and one for the batch itself while it is being handed over.
    missing: usize,
    answer: Option<oneshot::Sender<Answers>>,
}

impl Ledger {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        // A panic elsewhere leaves the rows as they are: whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a row for a batch that is about to be handed over. Answers its number, and what its answers will come by; an error where
    /// the link has ended.
    pub(super) fn open(&self, messages: usize) -> Result<(usize, oneshot::Receiver<Answers>), LinkDown> {
        debug_assert!(messages <= BATCH_MAX, "a place has {PLACE_BITS} bits");
        let mut rows = self.rows();
        if let Some(down) = &rows.down {
            return Err(down.clone());
        }
        let (answer, answered) = oneshot::channel();
        let number = rows.first.wrapping_add(rows.open.len()) & NUMBERS;
        let outcomes = vec![Outcome::Unknown(Reason::Link); messages];
        rows.open.push_back(Row { outcomes, missing: messages + 1, answer: Some(answer) });
        Ok((number, answered))
    }

    /// Notes an outcome. What is no longer awaited is no news.
    pub(super) fn note(&self, slot: Slot, outcome: Outcome) {
        self.rows().one_less(slot.batch(), |row| {
            if let Some(place) = row.outcomes.get_mut(slot.place()) {
                *place = outcome;
            }
        });
    }

    /// The batch is handed over as a whole.
    pub(super) fn handed_over(&self, number: usize) {
        self.rows().one_less(number, |_| {});
    }

    /// The link has ended: whatever is not answered is unknown. The first cause stays; answers whether this was it.
    pub(super) fn end(&self, down: LinkDown) -> bool {
        let mut rows = self.rows();
        if rows.down.is_some() {
            return false;
        }
        for mut row in std::mem::take(&mut rows.open) {
            if let Some(answer) = row.answer.take() {
                // Nobody waits where the worker has given the link up already.
                let _ = answer.send(Err(down.clone()));
            }
        }
        rows.down = Some(down);
        true
    }

    /// What ended the link, if something has.
    pub(super) fn ended(&self) -> Option<LinkDown> {
        self.rows().down.clone()
    }

    /// True where every batch is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.rows().open.is_empty()
    }

    /// Messages that have no outcome yet, and one for each batch that is being handed over.
    pub(super) fn missing(&self) -> usize {
        self.rows().open.iter().map(|row| row.missing).sum()
    }

    /// True where a single message has no outcome yet: the one that is reported now travelled alone, or with those reported before it.
    pub(super) fn is_last(&self) -> bool {
        self.missing() == 1
    }

    /// True where one message is awaited, and none beside it was.
    pub(super) fn has_one_message(&self) -> bool {
        let rows = self.rows();
        rows.open.len() == 1 && rows.open.iter().all(|row| row.outcomes.len() == 1)
    }
}

impl Rows {
    /// One thing less is missing in a row; the last one answers its batch. Reports come by partition: a later batch may be complete
    /// before the oldest.
    fn one_less(&mut self, number: usize, change: impl FnOnce(&mut Row)) {
        let index = number.wrapping_sub(self.first) & NUMBERS;
        let Some(row) = self.open.get_mut(index).filter(|row| row.missing > 0) else { return };
        change(row);
        row.missing -= 1;
        if row.missing > 0 {
            return;
        }
        if let Some(answer) = row.answer.take() {
            // Nobody waits where the worker has given the link up already.
            let _ = answer.send(Ok(std::mem::take(&mut row.outcomes)));
        }
        while self.open.front().is_some_and(|row| row.missing == 0) {
            self.open.pop_front();
            self.first = self.first.wrapping_add(1) & NUMBERS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Proof;

    const DELIVERED: Outcome = Outcome::Delivered(Proof::Confirmed);

    #[test]
    fn a_batch_is_answered_when_its_last_message_is_and_in_the_order_of_its_places() {
        let ledger = Ledger::default();
        let (number, mut answered) = ledger.open(2).unwrap();
        ledger.note(Slot::new(number, 1), Outcome::Unknown(Reason::Timeout));
        ledger.note(Slot::new(number, 0), DELIVERED);
        assert!(answered.try_recv().is_err(), "it is still being handed over");
        ledger.handed_over(number);
        assert_eq!(answered.try_recv().unwrap().unwrap(), [DELIVERED, Outcome::Unknown(Reason::Timeout)]);
        assert!(ledger.is_settled());
    }

    #[test]
    fn a_later_batch_does_not_wait_for_an_earlier_one() {
        let ledger = Ledger::default();
        let (one, mut first) = ledger.open(1).unwrap();
        let (two, mut second) = ledger.open(1).unwrap();
        ledger.handed_over(one);
        ledger.handed_over(two);
        ledger.note(Slot::of_word(Slot::new(two, 0).to_word()), DELIVERED);
        assert!(first.try_recv().is_err());
        assert_eq!(second.try_recv().unwrap().unwrap(), [DELIVERED]);
        assert!(ledger.is_last() && !ledger.is_settled());
        ledger.note(Slot::new(one, 0), DELIVERED);
        assert_eq!(first.try_recv().unwrap().unwrap(), [DELIVERED]);
        assert!(ledger.is_settled());
    }

    #[test]
    fn an_ended_link_answers_everything_with_its_first_cause() {
        let ledger = Ledger::default();
        let (number, mut answered) = ledger.open(1).unwrap();
        assert!(ledger.end(LinkDown::new(Reason::Forbidden, "first")));
        assert!(!ledger.end(LinkDown::new(Reason::Link, "second")));
        assert_eq!(answered.try_recv().unwrap().unwrap_err().detail, "first");
        ledger.note(Slot::new(number, 0), DELIVERED);
        ledger.handed_over(number);
        assert_eq!(ledger.open(1).unwrap_err().reason, Reason::Forbidden);
    }

    #[test]
    fn numbers_start_again_where_their_bits_end() {
        let ledger = Ledger::default();
        ledger.rows().first = NUMBERS;
        let (last, mut one) = ledger.open(1).unwrap();
        let (zero, mut two) = ledger.open(1).unwrap();
        assert_eq!(zero, 0);
        for number in [last, zero] {
            ledger.note(Slot::new(number, 0), DELIVERED);
            ledger.handed_over(number);
        }
        assert!(one.try_recv().unwrap().is_ok() && two.try_recv().unwrap().is_ok());
    }
}
