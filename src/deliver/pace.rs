//! `rate_limit`: so many messages a second.

use std::time::{Duration, Instant};

/// A token bucket that holds a tenth of a second's worth, so that a pause is not followed by a burst. Pure: time is passed in.
///
/// (The well-known limiter crates answer "may one go?"; a batch asks "how many may go?".)
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(per_second: f64, now: Instant) -> Self {
        let burst = (per_second / 10.0).max(1.0);
        Self { per_second, burst, tokens: burst, at: now }
    }

    fn tokens(&self, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        (self.tokens + gained).min(self.burst)
    }

    /// How many may go now.
    pub(super) fn available(&self, now: Instant) -> usize {
        self.tokens(now) as usize
    }

    /// When the next one may go.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let missing = (1.0 - self.tokens(now)).max(0.0);
        now + Duration::from_secs_f64(missing / self.per_second)
    }

    /// One went.
    pub(super) fn spend(&mut self, now: Instant) {
        self.tokens = self.tokens(now) - 1.0;
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_rate_over_any_second() {
        let start = Instant::now();
        let mut pace = Pace::new(50.0, start);
        let mut sent = 0;
        for tick in 0..1000_u32 {
            let now = start + Duration::from_millis(1) * tick;
            for _ in 0..pace.available(now) {
                pace.spend(now);
                sent += 1;
            }
        }
        assert!((50..=55).contains(&sent), "{sent} in a second of 50/s");
    }

    #[test]
    fn it_says_when_the_next_may_go() {
        let now = Instant::now();
        let mut pace = Pace::new(2.0, now);
        pace.spend(now);
        assert_eq!(pace.available(now), 0);
        let next = pace.next(now);
        assert_eq!(pace.available(next + Duration::from_millis(1)), 1);
    }
}
