//! How many messages to ask for ahead. What the broker pushes is in memory before anybody counts its bytes, so the prefetch follows
//! the mean size of the messages: `window_bytes / mean`, at most `window`.

/// Messages over which the mean moves.
const MEMORY: u32 = 64;

/// Messages to see before the prefetch is changed: a change costs a round trip.
const PATIENCE: u32 = 16;

/// The decision, without any I/O.
#[derive(Debug)]
pub(super) struct Prefetch {
    ahead_max: u16,
    bytes_max: u64,
    mean: f64,
    seen: u32,
    current: u16,
}

impl Prefetch {
    /// Before anything was seen, every message may be the largest that is taken.
    pub(super) fn new(window: usize, window_bytes: u64, largest: u64) -> Self {
        // 0 would mean "without limit" to the broker.
        let ahead_max = u16::try_from(window).unwrap_or(u16::MAX).max(1);
        let mut prefetch = Self { ahead_max, bytes_max: window_bytes, mean: largest as f64, seen: 0, current: 0 };
        prefetch.current = prefetch.wanted();
        prefetch
    }

    /// What the consumer should be opened with.
    pub(super) fn current(&self) -> u16 {
        self.current
    }

    /// What it never exceeds: the window.
    pub(super) fn ahead_max(&self) -> u16 {
        self.ahead_max
    }

    /// One message came.
    pub(super) fn saw(&mut self, bytes: usize) {
        self.seen = self.seen.saturating_add(1);
        self.mean += (bytes as f64 - self.mean) / f64::from(self.seen.min(MEMORY));
    }

    /// The prefetch to change to, where it is worth a round trip: twice or half of what it is, or all there is.
    pub(super) fn change(&mut self) -> Option<u16> {
        let wanted = self.wanted();
        let far = wanted >= self.current.saturating_mul(2) || wanted <= self.current / 2 || wanted == self.ahead_max;
        if self.seen < PATIENCE || wanted == self.current || !far {
            return None;
        }
        self.current = wanted;
        Some(wanted)
    }

    fn wanted(&self) -> u16 {
        let fitting = self.bytes_max as f64 / self.mean.max(1.0);
        // A float's cast saturates: more than 65,535 fit is as good as all.
        (fitting as u16).clamp(1, self.ahead_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn after(mut prefetch: Prefetch, count: usize, bytes: u64) -> (Prefetch, Option<u16>) {
        let mut last = None;
        for _ in 0..count {
            prefetch.saw(bytes as usize);
            last = prefetch.change().or(last);
        }
        (prefetch, last)
    }

    #[test]
    fn it_starts_with_the_worst_and_opens_up_for_small_messages() {
        let prefetch = Prefetch::new(1000, 64 * MIB, MIB);
        assert_eq!(prefetch.current(), 64);
        let (prefetch, changed) = after(prefetch, 16, KIB);
        assert_eq!((prefetch.current(), changed), (1000, Some(1000)));
    }

    #[test]
    fn it_closes_down_for_large_messages_and_keeps_a_window_of_bytes() {
        let (small, _) = after(Prefetch::new(1000, 64 * MIB, MIB), 100, KIB);
        let (large, changed) = after(small, 200, 4 * MIB);
        assert!(changed.is_some());
        assert!(u64::from(large.current()) * 4 * MIB <= 64 * MIB * 2, "{large:?}");
        assert!(large.current() >= 1);
    }

    #[test]
    fn one_message_is_always_asked_for_and_zero_never() {
        assert_eq!(Prefetch::new(1, 1, 128 * MIB).current(), 1);
        assert_eq!(Prefetch::new(0, 0, 0).current(), 1, "0 is without limit to the broker");
        assert_eq!(Prefetch::new(1 << 20, u64::MAX, 1).current(), u16::MAX);
    }

    #[test]
    fn it_does_not_flutter() {
        let (mut prefetch, _) = after(Prefetch::new(1000, 64 * MIB, MIB), 200, 100 * KIB);
        let before = prefetch.current();
        for size in [90, 110, 95, 120, 80] {
            prefetch.saw(size * KIB as usize);
            assert_eq!(prefetch.change(), None);
        }
        assert_eq!(prefetch.current(), before);
    }
}
