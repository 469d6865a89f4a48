//! Which tick is due now, whatever the clock does. Pure: the time comes as an argument, in milliseconds since the Unix epoch.

use std::time::Duration;

use super::calendar::Calendar;

/// A clock that goes back by less than this repeats nothing; one that is set back further is followed.
const SET_BACK: i64 = 60_000;

/// A calendar and how far it has been told.
#[derive(Debug, Clone)]
pub(super) struct Clockwork {
    calendar: Calendar,
    /// Due next; `None`: never again.
    next: Option<i64>,
    /// The latest time that was seen.
    seen: i64,
}

impl Clockwork {
    /// Starts at `now`: what was due before is not told.
    pub(super) fn new(calendar: Calendar, now: i64) -> Self {
        Self { next: calendar.after(now), calendar, seen: now }
    }

    /// How long until something is due: nothing where it is, `None` where it never will be.
    pub(super) fn due_in(&mut self, now: i64) -> Option<Duration> {
        if now.saturating_add(SET_BACK) < self.seen {
            self.next = self.calendar.after(now);
            self.seen = now;
        }
        self.seen = self.seen.max(now);
        Some(Duration::from_millis(u64::try_from(self.next?.saturating_sub(now)).unwrap_or(0)))
    }

    /// The time that is due, if one is; after it the next is due. Of several that were missed only the last is told.
    pub(super) fn take(&mut self, now: i64) -> Option<i64> {
        if self.due_in(now)? > Duration::ZERO {
            return None;
        }
        let due = self.calendar.last(now).max(self.next);
        self.next = self.calendar.after(now);
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn every(every: i64, now: i64) -> Clockwork {
        Clockwork::new(Calendar::Every { every, offset: 0 }, now)
    }

    /// The ticks while the clock shows these times in turn.
    fn ticks(clockwork: &mut Clockwork, times: impl IntoIterator<Item = i64>) -> Vec<i64> {
        times.into_iter().filter_map(|now| clockwork.take(now)).collect()
    }

    #[test]
    fn each_tick_comes_once_in_time() {
        let mut clockwork = every(10_000, 3);
        assert_eq!(clockwork.due_in(3), Some(Duration::from_millis(9_997)));
        assert_eq!(ticks(&mut clockwork, (0..=35).map(|second| second * 1000)), [10_000, 20_000, 30_000]);
    }

    #[test]
    fn what_was_missed_is_one_late_tick() {
        for jump in [HOUR, DAY, 40_000, 40_001] {
            let mut clockwork = every(10_000, 0);
            assert_eq!(ticks(&mut clockwork, [10_000]), [10_000]);
            let last = (10_000 + jump) / 10_000 * 10_000;
            assert_eq!(ticks(&mut clockwork, [10_000 + jump, 10_001 + jump]), [last], "{jump}");
            assert_eq!(ticks(&mut clockwork, [last + 10_000]), [last + 10_000], "aligned again");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed_and_one_that_trembles_is_not() {
        for jump in [HOUR, DAY, SET_BACK + 1] {
            let mut clockwork = every(10_000, 2 * DAY);
            assert_eq!(ticks(&mut clockwork, [2 * DAY + 10_000]), [2 * DAY + 10_000]);
            let back = 2 * DAY + 10_000 - jump;
            assert_eq!(ticks(&mut clockwork, [back]), [0; 0], "nothing at the jump itself");
            let next = back.div_euclid(10_000) * 10_000 + 10_000;
            assert_eq!(ticks(&mut clockwork, [next]), [next], "{jump}");
        }
        let mut clockwork = every(10_000, 2 * DAY);
        let told = 2 * DAY + 10_000;
        assert_eq!(ticks(&mut clockwork, [told, told - 1, told, told - 59_000, told - 50_000, told]), [told], "told once");
        assert_eq!(ticks(&mut clockwork, [told + 10_000]), [told + 10_000]);
    }

    #[test]
    fn a_calendar_that_ends_is_never_due() {
        let mut clockwork = every(1000, i64::MAX - 10);
        assert_eq!((clockwork.due_in(i64::MAX), clockwork.take(i64::MAX)), (None, None));
    }

    proptest! {
        /// However the clock jumps: one tick a look at most, never early, and none twice unless the clock was set back.
        #[test]
        fn jumps_make_no_burst(steps in prop::collection::vec(-2 * DAY..2 * DAY, 1..60), every_ms in 1000..HOUR) {
            let (mut now, mut seen) = (1_700_000_000_000_i64, 1_700_000_000_000_i64);
            let mut clockwork = every(every_ms, now);
            let mut last = None;
            for step in steps {
                now += step;
                if now + SET_BACK < seen {
                    (seen, last) = (now, None);
                }
                seen = seen.max(now);
                let tick = clockwork.take(now);
                prop_assert_eq!(clockwork.take(now), None);
                if let Some(tick) = tick {
                    prop_assert!(tick <= now && now - tick < every_ms, "late by {}", now - tick);
                    prop_assert_eq!(tick % every_ms, 0);
                    prop_assert!(last.is_none_or(|last| last < tick));
                    last = Some(tick);
                }
            }
        }

        #[test]
        fn while_time_flows_no_tick_is_left_out(start in 0_i64..DAY, every_ms in 1000..HOUR, looks in prop::collection::vec(1_i64..1000, 1..200)) {
            let mut clockwork = every(every_ms, start);
            let mut now = start;
            let mut told = Vec::new();
            for look in looks {
                now += look;
                told.extend(clockwork.take(now));
            }
            let due: Vec<i64> = (start / every_ms + 1..=now / every_ms).map(|nth| nth * every_ms).collect();
            prop_assert_eq!(told, due);
        }
    }
}
