//! What a link has received and not settled: each message with its lock, which must be renewed while we hold it.
//!
//! Pure: time is passed in. A message is pushed when it is received, in the order in which it will be offered, so its place from the
//! first one on is its number in the feed.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use fe2o3_amqp_types::primitives::Uuid;

use crate::intake::Seq;

/// A lock is renewed at the latest after this, however long it says it holds: clocks differ, and the entity's lock time is never told.
const RENEW_MAX: Duration = Duration::from_secs(20);

/// A lock is not renewed more often than this.
const RENEW_MIN: Duration = Duration::from_millis(250);

/// By which the service knows a lock.
pub(super) type LockToken = [u8; 16];

/// Messages of one link, by their numbers. `T` is what it takes to settle one.
#[derive(Debug)]
pub(super) struct Held<T> {
    /// The number of the front.
    first: Seq,
    /// `None` where it is settled, or its lock is lost.
    messages: VecDeque<Option<Holding<T>>>,
    /// Those that are there.
    count: usize,
}

#[derive(Debug)]
struct Holding<T> {
    info: T,
    /// `None` where the message itself is not locked: a session's are by their session.
    lock: Option<Lock>,
}

#[derive(Debug, Clone, Copy)]
struct Lock {
    token: LockToken,
    renew_at: Instant,
    /// From here on it may be renewed together with others.
    renew_from: Instant,
}

/// A lock that is due, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) seq: Seq,
    pub(super) token: LockToken,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { first: 0, messages: VecDeque::new(), count: 0 }
    }
}

impl<T> Held<T> {
    /// A message was received, whose lock holds for so long.
    pub(super) fn push(&mut self, info: T, lock: Option<(LockToken, Duration)>, now: Instant) {
        let lock = lock.map(|(token, locked)| Lock::new(token, locked, now));
        self.messages.push_back(Some(Holding { info, lock }));
        self.count += 1;
    }

    /// How many are held.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Takes one out, to settle it. `None` where its lock was lost: it is not ours to settle.
    pub(super) fn take(&mut self, seq: Seq) -> Option<T> {
        let holding = self.slot(seq)?.take()?;
        self.count -= 1;
        self.trim();
        Some(holding.info)
    }

    /// Takes all up to and with `seq`, in order.
    pub(super) fn take_through(&mut self, seq: Seq) -> Vec<T> {
        let upto = usize::try_from((seq + 1).saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.messages.len());
        let infos: Vec<_> = self.messages.drain(..upto).flatten().map(|holding| holding.info).collect();
        self.first += upto as u64;
        self.count -= infos.len();
        self.trim();
        infos
    }

    /// Takes those from `seq` on, which were never offered.
    pub(super) fn take_from(&mut self, seq: Seq) -> Vec<T> {
        let from = usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.messages.len());
        let infos: Vec<_> = self.messages.drain(from..).flatten().map(|holding| holding.info).collect();
        self.count -= infos.len();
        infos
    }

    /// At most `most` locks that should be renewed now: none before the first is due, and with it all that will be soon.
    pub(super) fn due(&self, now: Instant, most: usize) -> Vec<Due> {
        let locks = || self.messages.iter().enumerate().filter_map(|(at, holding)| Some((at, holding.as_ref()?.lock?)));
        if !locks().any(|(_, lock)| lock.renew_at <= now) {
            return Vec::new();
        }
        let soon = locks().filter(|(_, lock)| lock.renew_from <= now);
        soon.take(most).map(|(at, lock)| Due { seq: self.first + at as u64, token: lock.token }).collect()
    }

    /// A lock was renewed for `locked`.
    pub(super) fn renewed(&mut self, due: Due, locked: Duration, now: Instant) {
        if let Some(Some(holding)) = self.slot(due.seq) {
            holding.lock = Some(Lock::new(due.token, locked, now));
        }
    }

    /// A lock is lost: the message comes again to somebody, and is no longer ours to settle. False where it was settled meanwhile.
    pub(super) fn lost(&mut self, due: Due) -> bool {
        self.take(due.seq).is_some()
    }

    fn slot(&mut self, seq: Seq) -> Option<&mut Option<Holding<T>>> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.messages.get_mut(at)
    }

    fn trim(&mut self) {
        while let Some(None) = self.messages.front() {
            self.messages.pop_front();
            self.first += 1;
        }
    }
}

impl Lock {
    fn new(token: LockToken, locked: Duration, now: Instant) -> Self {
        let after = (locked / 2).clamp(RENEW_MIN, RENEW_MAX);
        Self { token, renew_at: now + after, renew_from: now + after / 2 }
    }
}

/// The lock token of a delivery: its tag is a GUID as .NET lays it out in memory, whose first three parts are little-endian.
pub(super) fn token_of(tag: &[u8]) -> Option<LockToken> {
    let mut token: LockToken = tag.try_into().ok()?;
    token[0..4].reverse();
    token[4..6].reverse();
    token[6..8].reverse();
    Some(token)
}

/// As the wire spells it.
pub(super) fn uuid(token: LockToken) -> Uuid {
    Uuid::from(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: Duration = Duration::from_secs(10);

    fn token(number: u64) -> LockToken {
        u128::from(number).to_be_bytes()
    }

    /// Messages `0..count`, received and locked at `now`.
    fn held(count: u64, now: Instant) -> Held<u64> {
        let mut held = Held::default();
        for number in 0..count {
            held.push(number, Some((token(number), LOCKED)), now);
        }
        held
    }

    fn numbers(due: &[Due]) -> Vec<Seq> {
        due.iter().map(|due| due.seq).collect()
    }

    #[test]
    fn each_is_taken_once_however_it_is_taken() {
        let mut held = held(10, Instant::now());
        assert_eq!((held.take(3), held.take(3)), (Some(3), None));
        assert_eq!(held.take_through(4), [0, 1, 2, 4]);
        assert_eq!(held.count(), 5);
        assert!(held.take_through(4).is_empty());
        assert_eq!(held.take_from(8), [8, 9]);
        assert_eq!((held.take(8), held.take(99)), (None, None));
        assert_eq!(held.take_through(99), [5, 6, 7]);
        assert_eq!(held.count(), 0);
        held.push(10, None, Instant::now());
        assert_eq!(held.take(8), Some(10), "numbers go on where the last was given back");
    }

    #[test]
    fn locks_are_due_at_half_of_their_time_and_together() {
        let now = Instant::now();
        let mut held = held(3, now);
        let later = |seconds| now + Duration::from_secs(seconds);
        held.push(3, Some((token(3), LOCKED)), later(2));
        held.push(4, Some((token(4), LOCKED)), later(4));
        assert!(held.due(later(4), 99).is_empty());
        assert_eq!(numbers(&held.due(later(5), 99)), [0, 1, 2, 3], "4 is not even soon due");
        assert_eq!(numbers(&held.due(later(5), 2)), [0, 1]);
        for due in held.due(later(5), 99) {
            held.renewed(due, LOCKED, later(5));
        }
        assert!(held.due(later(6), 99).is_empty());
        assert_eq!(numbers(&held.due(later(9), 99)), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_is_settled_is_not_renewed_and_what_is_lost_is_not_settled() {
        let now = Instant::now();
        let mut held = held(3, now);
        let due = held.due(now + LOCKED, 99);
        held.take(0);
        assert!(held.lost(due[1]) && !held.lost(due[1]) && !held.lost(due[0]));
        assert_eq!(held.take(1), None);
        assert_eq!(numbers(&held.due(now + LOCKED, 99)), [2]);
        assert_eq!(held.take_through(2), [2]);
    }

    #[test]
    fn a_long_lock_is_renewed_early_and_an_ended_one_at_once() {
        let now = Instant::now();
        let mut held = Held::default();
        held.push(0, Some((token(0), Duration::from_secs(3600))), now);
        assert_eq!(held.due(now + RENEW_MAX, 9).len(), 1, "whose clock is right nobody knows");
        held.push(1, Some((token(1), Duration::ZERO)), now);
        assert_eq!(held.due(now + RENEW_MIN, 9).len(), 1);
    }

    #[test]
    fn a_tag_is_a_guid_of_dotnet() {
        let tag: Vec<u8> = (0..16).collect();
        assert_eq!(token_of(&tag), Some([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]));
        assert_eq!(token_of(&tag[..4]), None);
    }
}
