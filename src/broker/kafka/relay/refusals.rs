//! What is not committed: who is answered, and what goes again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    copies::{Copy, Failure},
    relay::Assigned,
    transactions::Transactions,
};
use crate::{
    broker::kafka::ledger::Slot,
    outcome::{LinkDown, Outcome, Reason},
};

/// A transaction that is aborted so often in a row, for no record's fault, ends the link.
const ABORTS_MAX: u32 = 20;

/// What waits for longer behind a record that is not here is handed back. Less than any link waits for an answer.
const WAIT_MAX: Duration = Duration::from_secs(1);

impl Transactions {
    /// This copy is not taken at all: what was sent before it goes into a new transaction, and those behind it wait for its dead letter.
    /// Where it is not at fault, one before it may have been refused meanwhile: such a transaction takes no more.
    pub(super) fn refused(&mut self, copy: Copy, failure: Failure) -> Result<(), LinkDown> {
        if failure.is_the_records() {
            self.sent.push(copy);
            return self.start_again(vec![failure]);
        }
        let before = self.flush()?;
        if before.is_empty() {
            return Err(LinkDown::new(failure.reason, failure.words));
        }
        self.waiting.insert(0, copy);
        self.start_again(before)
    }

    /// A transaction that the group or its coordinator would not have (a rebalance came first) is aborted and lined up once more.
    pub(super) fn send_again(&mut self, why: LinkDown) -> Result<(), LinkDown> {
        self.aborts += 1;
        if self.aborts > ABORTS_MAX {
            return Err(why);
        }
        tracing::debug!(target: "rialto::kafka", error = %why, "a transaction is aborted and sent again");
        self.line_up()?;
        // The thread looks at once, and the group may need a moment to agree.
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    /// Aborts, and lines up what was sent before what waits.
    fn line_up(&mut self) -> Result<(), LinkDown> {
        self.abort()?;
        let later = std::mem::take(&mut self.waiting);
        self.waiting = std::mem::take(&mut self.sent);
        self.waiting.extend(later);
        Ok(())
    }

    /// Aborts, answers what was refused, and lines up the rest again: in their order, before all that came later. Records of a refused
    /// one's partition that stand behind it in its batch are handed back, because the batch is answered as a whole; they come again and
    /// wait here for its dead letter.
    pub(super) fn start_again(&mut self, failed: Vec<Failure>) -> Result<(), LinkDown> {
        let words = failed.first().map_or_else(String::new, |failure| failure.words.clone());
        let refusals = failed.into_iter().filter(Failure::is_the_records);
        let refusals: HashMap<usize, Failure> = refusals.map(|failure| (failure.slot.to_word(), failure)).collect();
        if refusals.is_empty() {
            return self.send_again(LinkDown::new(Reason::Link, words));
        }
        self.ends_the_link(&refusals)?;
        if refusals.values().filter(|failure| failure.may_be_anothers()).count() > 1 {
            self.search.narrow(self.sent.len());
            return self.line_up();
        }
        self.abort()?;
        let again = std::mem::take(&mut self.sent).into_iter().chain(std::mem::take(&mut self.waiting));
        let mut blocked: Vec<(Assigned, Slot)> = Vec::new();
        for copy in again {
            if refusals.contains_key(&copy.slot.to_word()) {
                blocked.push((copy.source, copy.slot));
            } else if blocked.iter().any(|(source, slot)| *source == copy.source && slot.is_beside(copy.slot)) {
                self.answers.note(copy.slot, Outcome::Unsent);
            } else {
                self.waiting.push(copy);
            }
        }
        for failure in refusals.into_values() {
            self.answers.note(failure.slot, failure.outcome());
        }
        Ok(())
    }

    /// What is refused, and is no fault of a record's: a topic that is missing or not ours to write, which this producer would not ask
    /// for again for long; and a batch that its topic does not take.
    fn ends_the_link(&self, refusals: &HashMap<usize, Failure>) -> Result<(), LinkDown> {
        let refused = self.sent.iter().filter_map(|copy| Some((copy, refusals.get(&copy.slot.to_word())?)));
        let refused: Vec<(&Copy, &Failure)> = refused.collect();
        if let Some((_, failure)) = refused.iter().find(|(copy, failure)| failure.is_the_topics() && !copy.own_topic) {
            return Err(LinkDown::new(failure.reason, &failure.words));
        }
        let size = |copy: &Copy| copy.value.as_ref().map_or(0, Vec::len) + copy.key.as_ref().map_or(0, Vec::len);
        let mut too_large = refused.iter().filter(|(_, failure)| failure.reason == Reason::TooLarge);
        // It may be the batch, and not a record in it.
        if self.sent.len() > 1 && too_large.any(|(copy, _)| size(copy) < self.batch_size) {
            let smaller = self.kafka.batches.shrink(self.batch_size);
            return Err(LinkDown::new(Reason::Link, format_args!("batches of at most {smaller} bytes from now on")));
        }
        Ok(())
    }

    /// What is left waits for a record that is not here: it is tried again later, or on its way to be a dead letter. Whoever sends may
    /// not send that one before this batch is answered, so it is answered, and its messages come again.
    pub(super) fn hand_back(&mut self) {
        if self.again {
            // Not looked at yet.
            return;
        }
        let (answers, now) = (&self.answers, Instant::now());
        self.waiting.retain(|copy| {
            let waits = now.saturating_duration_since(copy.since) < WAIT_MAX;
            if !waits {
                answers.note(copy.slot, Outcome::Unsent);
            }
            waits
        });
    }
}
