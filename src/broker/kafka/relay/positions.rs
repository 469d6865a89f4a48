//! Which of the records taken from each partition are in a transaction, and how far its offsets may be committed. Pure.
//!
//! The law of exactly once: a record's copy is in a transaction only if every earlier record of its partition is in this one or was
//! dealt with before it. Then one number a partition, the offset that the transaction commits, says exactly which copies it holds; a
//! copy past a hole would come a second time after a crash.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

use crate::intake::{Seq, Settled};

/// What may be done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may go into the open transaction.
    Now,
    /// An earlier one of its partition has not been dealt with.
    Later,
    /// An earlier transaction that nobody heard the end of has committed it.
    Done,
    /// Its partition was given to somebody else.
    Gone,
}

/// The records of all partitions that are ours. `P` is a partition for the time of one assignment: given to us again, it is another.
#[derive(Debug)]
pub(super) struct Positions<P> {
    courses: HashMap<P, Course>,
}

/// One partition: what was taken from it and not yet committed, in order.
#[derive(Debug, Default)]
struct Course {
    /// The number in its feed of the first that is kept here.
    first: Seq,
    taken: VecDeque<(i64, State)>,
    /// How many at the front are dealt with or in the open transaction: the next one's turn is now.
    ready: usize,
    /// The offset that is committed, as far as we know: all below is done.
    committed: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was done about it.
    Taken,
    /// Its copy is in the open transaction.
    Sent,
    /// It needs no copy: filtered, dropped, or dead-lettered elsewhere.
    Settled,
}

impl<P: Clone + Eq + Hash> Positions<P> {
    /// No partition is ours.
    pub(super) fn new() -> Self {
        Self { courses: HashMap::new() }
    }

    /// The source took these from a partition, in the order of its feed.
    pub(super) fn taken(&mut self, partition: &P, offsets: impl Iterator<Item = i64>) {
        let course = match self.courses.get_mut(partition) {
            Some(course) => course,
            None => self.courses.entry(partition.clone()).or_default(),
        };
        course.taken.extend(offsets.map(|offset| (offset, State::Taken)));
    }

    /// These need no copy, or no further one. Answers whether another record's turn may have come by that.
    pub(super) fn settled(&mut self, partition: &P, settled: &Settled) -> bool {
        let Some(course) = self.courses.get_mut(partition) else { return false };
        let ready = course.ready;
        let through = course.first..settled.prefix;
        for seq in through.chain(settled.alone.iter().map(|(seq, _)| *seq)) {
            course.settle(seq);
        }
        course.advance();
        course.ready > ready
    }

    /// Whether a copy of this record may go into the open transaction.
    pub(super) fn turn(&self, partition: &P, offset: i64) -> Turn {
        let Some(course) = self.courses.get(partition) else { return Turn::Gone };
        if offset < course.committed {
            return Turn::Done;
        }
        match course.find(offset) {
            None => Turn::Gone,
            Some(at) if at <= course.ready => Turn::Now,
            Some(_) => Turn::Later,
        }
    }

    /// Its copy is in the open transaction.
    pub(super) fn sent(&mut self, partition: &P, offset: i64) {
        if let Some(course) = self.courses.get_mut(partition)
            && let Some(at) = course.find(offset)
        {
            course.taken[at].1 = State::Sent;
            course.advance();
        }
    }

    /// What the open transaction may commit: for each partition that has news, the offset after the last record dealt with.
    pub(super) fn offsets(&self) -> Vec<(P, i64)> {
        let news = self.courses.iter().filter_map(|(partition, course)| Some((partition.clone(), course.next()?)));
        news.collect()
    }

    /// These offsets are committed.
    pub(super) fn committed(&mut self, offsets: &[(P, i64)]) {
        for (partition, offset) in offsets {
            if let Some(course) = self.courses.get_mut(partition) {
                course.commit(*offset);
            }
        }
    }

    /// The open transaction was aborted: nothing of it is there.
    pub(super) fn aborted(&mut self) {
        for course in self.courses.values_mut() {
            course.abort();
        }
    }

    /// Whether the open transaction holds something of this partition.
    pub(super) fn holds(&self, partition: &P) -> bool {
        self.courses.get(partition).is_some_and(|course| course.taken.iter().any(|(_, state)| *state == State::Sent))
    }

    /// Whether the partition is ours.
    pub(super) fn has(&self, partition: &P) -> bool {
        self.courses.contains_key(partition)
    }

    /// The partition is no longer ours.
    pub(super) fn released(&mut self, partition: &P) {
        self.courses.remove(partition);
    }

    /// The partitions that are ours.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &P> {
        self.courses.keys()
    }
}

impl Course {
    /// Offsets rise, with gaps: control records and compaction leave them.
    fn find(&self, offset: i64) -> Option<usize> {
        self.taken.binary_search_by_key(&offset, |(offset, _)| *offset).ok()
    }

    fn settle(&mut self, seq: Seq) {
        let at = seq.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some((_, state)) = at.and_then(|at| self.taken.get_mut(at)).filter(|(_, state)| *state == State::Taken) {
            *state = State::Settled;
        }
    }

    fn advance(&mut self) {
        while self.taken.get(self.ready).is_some_and(|(_, state)| *state != State::Taken) {
            self.ready += 1;
        }
    }

    fn next(&self) -> Option<i64> {
        let last = self.ready.checked_sub(1)?;
        Some(self.taken[last].0 + 1)
    }

    fn commit(&mut self, offset: i64) {
        self.committed = self.committed.max(offset);
        while self.taken.front().is_some_and(|(first, _)| *first < offset) {
            self.taken.pop_front();
            self.first += 1;
            self.ready = self.ready.saturating_sub(1);
        }
        self.advance();
    }

    fn abort(&mut self) {
        for (_, state) in self.taken.iter_mut().filter(|(_, state)| *state == State::Sent) {
            *state = State::Taken;
        }
        self.ready = 0;
        self.advance();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::outcome::{Reason, Refusal, Verdict};

    const PARTITION: &str = "orders[3]";

    fn positions(offsets: impl IntoIterator<Item = i64>) -> Positions<&'static str> {
        let mut positions = Positions::new();
        positions.taken(&PARTITION, offsets.into_iter());
        positions
    }

    fn filtered(seq: Seq) -> Settled {
        Settled { alone: vec![(seq, Verdict::Accepted)], ..Settled::default() }
    }

    #[test]
    fn a_record_goes_when_all_before_it_have() {
        let mut positions = positions([4, 5, 9]);
        assert_eq!(positions.turn(&PARTITION, 5), Turn::Later);
        assert_eq!(positions.turn(&PARTITION, 4), Turn::Now);
        positions.sent(&PARTITION, 4);
        assert_eq!(positions.offsets(), [(PARTITION, 5)]);
        assert!(positions.settled(&PARTITION, &filtered(1)));
        assert_eq!(positions.turn(&PARTITION, 9), Turn::Now, "a gap in the offsets is no hole");
        positions.sent(&PARTITION, 9);
        assert_eq!(positions.offsets(), [(PARTITION, 10)]);
    }

    #[test]
    fn a_hole_ends_what_may_be_committed() {
        let mut positions = positions(0..4);
        positions.sent(&PARTITION, 0);
        assert!(!positions.settled(&PARTITION, &filtered(2)), "1 is before it");
        assert_eq!(positions.turn(&PARTITION, 3), Turn::Later, "1 has not come");
        assert_eq!(positions.offsets(), [(PARTITION, 1)]);
    }

    #[test]
    fn an_aborted_transaction_holds_nothing_and_what_was_filtered_stays_so() {
        let mut positions = positions(0..3);
        positions.sent(&PARTITION, 0);
        positions.settled(&PARTITION, &filtered(1));
        positions.sent(&PARTITION, 2);
        assert!(positions.holds(&PARTITION));
        positions.aborted();
        assert!(!positions.holds(&PARTITION));
        assert_eq!(positions.offsets(), []);
        assert_eq!(positions.turn(&PARTITION, 2), Turn::Later);
        positions.sent(&PARTITION, 0);
        assert_eq!(positions.turn(&PARTITION, 2), Turn::Now);
    }

    #[test]
    fn what_was_committed_unheard_is_done() {
        let mut positions = positions(0..3);
        positions.sent(&PARTITION, 0);
        positions.aborted();
        positions.committed(&[(PARTITION, 1)]);
        assert_eq!(positions.turn(&PARTITION, 0), Turn::Done);
        assert_eq!(positions.turn(&PARTITION, 1), Turn::Now);
        assert_eq!(positions.offsets(), [], "nothing new to commit");
    }

    #[test]
    fn numbers_of_the_feed_stay_right_when_the_first_are_committed() {
        let mut positions = positions([10, 11, 12, 13]);
        positions.sent(&PARTITION, 10);
        positions.committed(&[(PARTITION, 11)]);
        let rejected = Verdict::Rejected(Arc::new(Refusal::new(Reason::Undecodable, "no JSON")));
        positions.settled(&PARTITION, &Settled { alone: vec![(2, rejected)], through: Some(0), prefix: 2, beyond: 1 });
        assert_eq!(positions.offsets(), [(PARTITION, 13)], "1 by the prefix, 2 by itself");
        assert_eq!(positions.turn(&PARTITION, 13), Turn::Now);
    }

    #[test]
    fn a_record_that_went_with_the_open_transaction_is_not_settled_by_another_word() {
        let mut positions = positions(0..1);
        positions.sent(&PARTITION, 0);
        positions.settled(&PARTITION, &filtered(0));
        assert!(positions.holds(&PARTITION));
    }

    #[test]
    fn what_was_sent_after_the_offsets_were_read_waits_for_the_next_commit() {
        let mut positions = positions(0..2);
        positions.sent(&PARTITION, 0);
        let offsets = positions.offsets();
        positions.sent(&PARTITION, 1);
        positions.committed(&offsets);
        assert_eq!(positions.offsets(), [(PARTITION, 2)]);
    }

    #[test]
    fn a_released_partition_is_gone() {
        let mut positions = positions(0..2);
        positions.sent(&PARTITION, 0);
        positions.released(&PARTITION);
        assert_eq!(positions.turn(&PARTITION, 0), Turn::Gone);
        assert_eq!(positions.offsets(), []);
    }
}
