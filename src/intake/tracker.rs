//! Which numbers of a feed are settled, and which of those have been told upstream. Pure: time is passed in.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::outcome::{Refusal, Verdict};

/// A message's number in its feed: dense, from 0.
pub type Seq = u64;

/// Acceptances behind a hole wait this long for it to close, because `multiple` is far cheaper than single acknowledgements
/// (12 against 26 CPU-seconds per million on RabbitMQ 3.10); then they are told one by one, so that a message parked for minutes
/// holds back nobody else's.
pub(super) const HOLE_AGE_MAX: Duration = Duration::from_millis(250);

/// What may be told upstream now, coalesced over the feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// First, one by one: rejections, and acceptances past a hole that is old, or when half the window is settled but untold.
    pub alone: Vec<(Seq, Verdict)>,
    /// Then with `multiple`: all up to and with this one are settled, and this one was never named in `alone`.
    pub through: Option<Seq>,
    /// Every number below has its verdict: what an offset commit may say.
    pub prefix: Seq,
    /// How many above `prefix` were told, now or before: what settled behind a hole.
    pub beyond: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Accepted,
    Told,
}

/// The numbers from the first unsettled one on.
#[derive(Debug)]
pub(super) struct Tracker {
    /// Every number below has its verdict.
    prefix: Seq,
    states: VecDeque<State>,
    /// Rejections to tell.
    rejected: Vec<(Seq, Arc<Refusal>)>,
    /// Accepted, not told: behind a hole, or since the last collection.
    untold: usize,
    /// Told, and not below `prefix`.
    beyond: usize,
    /// Highest accepted and untold number below `prefix`.
    through: Option<Seq>,
    /// The hole at `prefix`, and since when something settled waits behind it.
    hole: Option<(Seq, Instant)>,
    /// Told by the last collection.
    told_prefix: Seq,
    /// Untold acceptances past a hole are told at this many.
    untold_max: usize,
}

impl Tracker {
    /// `patient`: acceptances behind a hole wait for it, up to [`HOLE_AGE_MAX`]; else each is told as soon as it is known.
    pub(super) fn new(window: usize, patient: bool) -> Self {
        Self {
            prefix: 0,
            states: VecDeque::new(),
            rejected: Vec::new(),
            untold: 0,
            beyond: 0,
            through: None,
            hole: None,
            told_prefix: 0,
            untold_max: if patient { (window / 2).max(1) } else { 1 },
        }
    }

    /// Numbers a batch; answers its first.
    pub(super) fn number(&mut self, messages: usize) -> Seq {
        let first = self.prefix + self.states.len() as u64;
        self.states.extend(std::iter::repeat_n(State::Pending, messages));
        first
    }

    /// Numbers without a verdict, or with one that waits to be told.
    pub(super) fn outstanding(&self) -> usize {
        self.states.len() + self.rejected.len() + usize::from(self.through.is_some())
    }

    /// Takes a verdict. A second one for the same number is ignored.
    pub(super) fn settle(&mut self, seq: Seq, verdict: Verdict) {
        let Some(state) = seq.checked_sub(self.prefix).and_then(|at| self.states.get_mut(at as usize)) else { return };
        if *state != State::Pending {
            return;
        }
        match verdict {
            Verdict::Accepted => {
                *state = State::Accepted;
                self.untold += 1;
            }
            Verdict::Rejected(why) => {
                *state = State::Told;
                self.beyond += 1;
                self.rejected.push((seq, why));
            }
        }
        while let Some(state) = self.states.front().filter(|state| **state != State::Pending) {
            if *state == State::Accepted {
                self.through = Some(self.prefix);
                self.untold -= 1;
            } else {
                self.beyond -= 1;
            }
            self.states.pop_front();
            self.prefix += 1;
        }
    }

    /// What may be told now; `None` when there is nothing new. What it answers counts as told.
    pub(super) fn collect(&mut self, now: Instant) -> Option<Settled> {
        let mut alone: Vec<_> = self.rejected.drain(..).map(|(seq, why)| (seq, Verdict::Rejected(why))).collect();
        if self.past_hole(now) {
            for (at, state) in self.states.iter_mut().enumerate().filter(|(_, state)| **state == State::Accepted) {
                *state = State::Told;
                alone.push((self.prefix + at as u64, Verdict::Accepted));
            }
            self.beyond += self.untold;
            self.untold = 0;
            self.hole = None;
        }
        let through = self.through.take();
        if alone.is_empty() && through.is_none() && self.prefix == self.told_prefix {
            return None;
        }
        self.told_prefix = self.prefix;
        Some(Settled { alone, through, prefix: self.prefix, beyond: self.beyond })
    }

    /// When a hole will be old enough for what waits behind it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.hole.map(|(_, since)| since + HOLE_AGE_MAX)
    }

    /// The feed ends, and its holes with it: whatever is accepted is told at once.
    pub(super) fn wait_no_longer(&mut self) {
        self.untold_max = 1;
    }

    /// Whether the acceptances past the hole are to be told singly; keeps the hole's age.
    fn past_hole(&mut self, now: Instant) -> bool {
        if self.untold == 0 {
            self.hole = None;
            return false;
        }
        if self.untold >= self.untold_max {
            return true;
        }
        match self.hole {
            Some((seq, since)) if seq == self.prefix => now.duration_since(since) >= HOLE_AGE_MAX,
            _ => {
                self.hole = Some((self.prefix, now));
                false
            }
        }
    }
}
