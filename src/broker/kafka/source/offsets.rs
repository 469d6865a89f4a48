//! Which offset may be committed: numbers of a feed are dense, offsets of a partition are not (compaction, transaction markers, what
//! is skipped). Pure.

use std::collections::VecDeque;

use super::partition::Position;
use crate::intake::Seq;

/// The offsets of one partition, in the order in which its messages were offered.
#[derive(Debug)]
pub(super) struct Offsets {
    /// Where a run of dense offsets begins: its first number and that message's offset. The first run holds the first unsettled number.
    runs: VecDeque<(Seq, i64)>,
    /// Messages offered so far.
    offered: Seq,
    /// The offset after the last record that was seen, offered or skipped.
    position: i64,
    /// Every number below is settled.
    settled: Seq,
}

impl Offsets {
    /// A partition whose next record is at `position`.
    pub(super) fn new(position: i64) -> Self {
        Self { runs: VecDeque::new(), offered: 0, position, settled: 0 }
    }

    /// Messages were offered from number `first` on: `runs` names the index in the batch and the offset wherever an offset is not
    /// its predecessor plus one, the first message among them. `position` is the offset after the last record seen with them.
    pub(super) fn offered(&mut self, first: Seq, messages: usize, runs: &[(usize, i64)], position: i64) {
        for &(index, offset) in runs {
            let number = first + index as u64;
            if self.runs.back().is_none_or(|&(begun, at)| at + (number - begun).cast_signed() != offset) {
                self.runs.push_back((number, offset));
            }
        }
        self.offered = first + messages as u64;
        self.position = position;
    }

    /// Records up to `position` were seen and nothing of them was offered.
    pub(super) fn skipped(&mut self, position: i64) {
        self.position = position;
    }

    /// Every number below `prefix` has its verdict.
    pub(super) fn settled(&mut self, prefix: Seq) {
        self.settled = self.settled.max(prefix);
        while self.runs.get(1).is_some_and(|&(begun, _)| begun <= self.settled) {
            self.runs.pop_front();
        }
    }

    /// Messages offered so far.
    pub(super) fn count(&self) -> Seq {
        self.offered
    }

    /// What may be committed.
    pub(super) fn settled_to(&self) -> Position {
        Position { offset: self.committable(), messages: self.settled }
    }

    /// The offset to commit: that of the first message without a verdict, or where reading stands when there is none.
    fn committable(&self) -> i64 {
        match self.runs.front() {
            Some(&(begun, offset)) if self.settled < self.offered => offset + (self.settled - begun).cast_signed(),
            _ => self.position,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Offsets;

    #[test]
    fn nothing_is_committable_beyond_the_first_message_without_a_verdict() {
        let mut offsets = Offsets::new(100);
        assert_eq!(offsets.committable(), 100);
        offsets.offered(0, 3, &[(0, 100)], 103);
        assert_eq!(offsets.committable(), 100);
        offsets.settled(2);
        assert_eq!(offsets.committable(), 102);
        offsets.settled(3);
        assert_eq!(offsets.committable(), 103);
    }

    #[test]
    fn what_is_skipped_at_the_end_is_committed_once_all_before_it_is_settled() {
        let mut offsets = Offsets::new(0);
        offsets.offered(0, 1, &[(0, 0)], 1);
        offsets.skipped(9);
        assert_eq!(offsets.committable(), 0);
        offsets.settled(1);
        assert_eq!(offsets.committable(), 9);
    }

    proptest! {
        /// Batches of any sizes with any holes between offsets, settled up to any number: the answer is the offset of the first
        /// message that is not settled.
        #[test]
        fn holes_between_offsets_are_stepped_over(gaps in prop::collection::vec((0_i64..3, any::<bool>()), 1..80), steps in prop::collection::vec(0_u64..80, 1..20)) {
            let mut offsets = Offsets::new(7);
            let (mut at, mut known, mut batch) = (7, Vec::new(), Vec::new());
            let offer = |batch: &mut Vec<i64>, known: &mut Vec<i64>, offsets: &mut Offsets| {
                let runs: Vec<_> = batch.iter().copied().enumerate().filter(|&(n, offset)| n == 0 || batch[n - 1] + 1 != offset).collect();
                if let Some(last) = batch.last() {
                    offsets.offered(known.len() as u64, batch.len(), &runs, last + 1);
                }
                known.append(batch);
            };
            for (gap, cut) in gaps {
                at += gap;
                batch.push(at);
                at += 1;
                if cut {
                    offer(&mut batch, &mut known, &mut offsets);
                }
            }
            offer(&mut batch, &mut known, &mut offsets);
            let mut settled = 0;
            for step in steps {
                settled = (settled + step).min(known.len() as u64);
                offsets.settled(settled);
                let expected = known.get(settled as usize).copied().unwrap_or(at);
                prop_assert_eq!(offsets.committable(), expected);
            }
        }
    }
}
