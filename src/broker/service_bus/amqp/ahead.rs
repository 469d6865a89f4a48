//! How many messages to let come ahead. What the service pushes is in memory before anybody counts its bytes, so the credit follows the
//! mean size of the messages: `window_bytes / mean`, at most `window`.

/// Messages over which the mean moves.
const MEMORY: u32 = 64;

/// Granted at once: should all of a sudden every message be a large one, no more than these are on their way.
const GRANT_MAX: u32 = 256;

/// The decision, without any I/O.
#[derive(Debug)]
pub(super) struct Ahead {
    window: u32,
    bytes_max: u64,
    mean: f64,
    seen: u32,
}

impl Ahead {
    /// Before anything was seen, every message may be the largest that is taken.
    pub(super) fn new(window: usize, bytes_max: u64, largest: u64) -> Self {
        Self { window: u32::try_from(window).unwrap_or(u32::MAX).max(1), bytes_max, mean: largest as f64, seen: 0 }
    }

    /// One message came.
    pub(super) fn saw(&mut self, bytes: usize) {
        self.seen = self.seen.saturating_add(1);
        self.mean += (bytes as f64 - self.mean) / f64::from(self.seen.min(MEMORY));
    }

    /// How many may be here unsettled, those on their way among them.
    pub(super) fn most(&self) -> u32 {
        let fitting = self.bytes_max as f64 / self.mean.max(1.0);
        // A float's cast saturates: more than fit in a number is as good as all.
        (fitting as u32).clamp(1, self.window)
    }

    /// The credit to grant, where it is worth a frame: `held` are here unsettled, `credit` are granted already. A grant is never taken
    /// back: what was on its way then would come without leave, and the client library ends a link for that.
    pub(super) fn grant(&self, held: usize, credit: u32) -> Option<u32> {
        let room = self.most().saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        let wanted = room.min(GRANT_MAX);
        (wanted > credit && (credit == 0 || wanted / 2 >= credit)).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn after(count: usize, bytes: usize) -> Ahead {
        let mut ahead = Ahead::new(1000, 64 * MIB, MIB);
        for _ in 0..count {
            ahead.saw(bytes);
        }
        ahead
    }

    #[test]
    fn it_starts_with_the_worst_and_opens_up_for_small_messages() {
        assert_eq!(Ahead::new(1000, 64 * MIB, MIB).most(), 64);
        assert_eq!(after(1, 1024).most(), 1000);
        assert!(u64::from(after(200, 4 << 20).most()) * 4 * MIB <= 64 * MIB);
        assert_eq!(Ahead::new(0, 0, 0).most(), 1, "one message is always let in");
    }

    #[test]
    fn what_is_held_counts_against_the_credit() {
        let ahead = after(100, 1024);
        assert_eq!(ahead.grant(0, 0), Some(GRANT_MAX));
        assert_eq!(ahead.grant(0, 200), None, "not worth a frame");
        assert_eq!(ahead.grant(0, 128), Some(GRANT_MAX));
        assert_eq!(ahead.grant(990, 0), Some(10));
        assert_eq!(ahead.grant(990, 6), None);
        assert_eq!(ahead.grant(1000, 0), None, "a full window lets nothing come");
        assert_eq!(ahead.grant(1500, 0), None);
    }

    #[test]
    fn a_grant_is_not_taken_back_when_messages_grow() {
        let ahead = after(200, 4 << 20);
        assert_eq!(ahead.most(), 16);
        assert_eq!(ahead.grant(10, 200), None);
        assert_eq!(ahead.grant(10, 0), Some(6));
    }
}
