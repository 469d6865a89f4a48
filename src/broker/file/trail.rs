//! How far a file was read, over its rotations and over the incarnations of its source. No clock, and no file is opened here.

use std::{collections::VecDeque, sync::Arc};

use crate::intake::Seq;

/// What stood under the path at one time: until it is rotated away or truncated.
#[derive(Debug)]
pub(super) struct Generation<F> {
    /// The open file.
    pub(super) file: F,
    /// Which file it is: device and inode.
    pub(super) id: (u64, u64),
}

/// Where the reading stands.
#[derive(Debug)]
pub(super) struct Trail<F> {
    /// From the first that has something unsettled.
    generations: VecDeque<Arc<Generation<F>>>,
    /// How many were dropped before the first of them.
    dropped: u64,
    /// Where an incarnation begins: the end of the last settled line of the first generation.
    settled: u64,
    /// The end of each line that is offered and not settled, and its generation's number; the first is that of `first`.
    open: VecDeque<(u64, u64)>,
    first: Seq,
}

impl<F> Default for Trail<F> {
    fn default() -> Self {
        Self { generations: VecDeque::new(), dropped: 0, settled: 0, open: VecDeque::new(), first: 0 }
    }
}

impl<F> Trail<F> {
    /// A new incarnation: what the last one left unsettled is read again. The number of the generation to begin with, and where in it;
    /// `None` where nothing was read yet.
    pub(super) fn begin(&mut self) -> Option<(u64, u64)> {
        self.open.clear();
        self.first = 0;
        (!self.generations.is_empty()).then_some((self.dropped, self.settled))
    }

    /// A file was opened; answers its generation's number. The first one is read from `at`, all others from their beginning.
    pub(super) fn opened(&mut self, file: F, id: (u64, u64), at: u64) -> u64 {
        if self.generations.is_empty() {
            self.settled = at;
        }
        self.generations.push_back(Arc::new(Generation { file, id }));
        self.dropped + self.generations.len() as u64 - 1
    }

    /// The generation of this number; `None` where there is none yet.
    pub(super) fn generation(&self, number: u64) -> Option<Arc<Generation<F>>> {
        self.generations.get(usize::try_from(number.checked_sub(self.dropped)?).ok()?).cloned()
    }

    /// A line was offered.
    pub(super) fn offered(&mut self, generation: u64, end: u64) {
        self.open.push_back((generation, end));
    }

    /// Nothing of a generation is left to read: once all of it is settled, it is forgotten.
    pub(super) fn passed(&mut self, generation: u64) {
        if self.open.is_empty() {
            self.forget_before(generation + 1);
        }
    }

    /// Every line whose number is below `prefix` is settled.
    pub(super) fn settle(&mut self, prefix: Seq) {
        while self.first < prefix {
            let Some((generation, end)) = self.open.pop_front() else { return };
            self.first += 1;
            self.forget_before(generation);
            self.settled = end;
        }
    }

    fn forget_before(&mut self, generation: u64) {
        // The last one stays: the reading goes on in it.
        while self.dropped < generation && self.generations.len() > 1 {
            self.generations.pop_front();
            self.dropped += 1;
            self.settled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_begins_after_the_last_settled_line() {
        let mut trail = Trail::<&str>::default();
        assert_eq!(trail.begin(), None);
        let first = trail.opened("a", (1, 1), 100);
        assert_eq!(trail.begin(), Some((first, 100)));
        for end in [110, 120, 130] {
            trail.offered(first, end);
        }
        trail.settle(2);
        assert_eq!(trail.begin(), Some((first, 120)));
        trail.offered(first, 130);
        trail.settle(1);
        assert_eq!(trail.begin(), Some((first, 130)), "numbers begin anew with an incarnation");
    }

    #[test]
    fn a_rotated_file_is_kept_until_its_lines_are_settled() {
        let mut trail = Trail::default();
        let first = trail.opened("a", (1, 1), 0);
        trail.offered(first, 10);
        trail.passed(first);
        let second = trail.opened("b", (1, 2), 0);
        trail.passed(second);
        let third = trail.opened("c", (1, 3), 0);
        trail.offered(third, 7);
        assert_eq!(trail.begin(), Some((first, 0)), "nothing of the first is settled");
        assert_eq!(trail.generation(first + 1).map(|generation| generation.file), Some("b"), "and the next are read after it");
        trail.offered(first, 10);
        trail.offered(third, 7);
        trail.settle(1);
        assert_eq!(trail.begin(), Some((first, 10)));
        trail.offered(third, 7);
        trail.settle(1);
        assert_eq!(trail.begin(), Some((third, 7)));
        assert!(trail.generation(first).is_none() && trail.generation(third + 1).is_none());
    }
}
