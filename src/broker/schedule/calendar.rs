//! When ticks are due. Pure: times are milliseconds since the Unix epoch, and come as arguments.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

/// The times at which something is due.
#[derive(Debug, Clone)]
pub(super) enum Calendar {
    /// Every so many milliseconds, counted from the Unix epoch and `offset`: `every: 10m` is due at :00, :10, :20… in UTC.
    Every {
        /// Positive.
        every: i64,
        /// Less than `every`.
        offset: i64,
    },
    /// By cron, in a time zone. In a spring-forward gap a fixed time is due right after it, and in a repeated hour once; times by
    /// wildcard follow the wall clock (as Vixie's cron).
    Cron {
        /// Its five fields.
        cron: Box<Cron>,
        /// Where they are read.
        zone: TimeZone,
    },
}

impl Calendar {
    /// Five fields (minute, hour, day of month, month, day of week) or a nickname such as `@daily`. The error is a sentence.
    pub(super) fn cron(fields: &str, zone: TimeZone) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(fields).map_err(|error| error.to_string())?;
        Ok(Self::Cron { cron: Box::new(cron), zone })
    }

    /// The first due time after `now`; `None` where there is none any more (30 February).
    pub(super) fn after(&self, now: i64) -> Option<i64> {
        match self {
            Self::Every { every, offset } => now.checked_sub(phase(now, *every, *offset))?.checked_add(*every),
            Self::Cron { cron, zone } => {
                let found = cron.find_next_occurrence(&whole_second(now, zone)?, false).ok()?;
                Some(found.timestamp().as_millisecond())
            }
        }
    }

    /// The last due time that is not after `now`.
    pub(super) fn last(&self, now: i64) -> Option<i64> {
        match self {
            Self::Every { every, offset } => now.checked_sub(phase(now, *every, *offset)),
            Self::Cron { cron, zone } => {
                let found = cron.find_previous_occurrence(&whole_second(now, zone)?, true).ok()?;
                Some(found.timestamp().as_millisecond())
            }
        }
    }
}

/// How long ago the last tick was due.
fn phase(now: i64, every: i64, offset: i64) -> i64 {
    (i128::from(now) - i128::from(offset)).rem_euclid(i128::from(every)) as i64
}

/// Cron knows no parts of a second: what is due after 12:00:00.5 is due after 12:00:00.
fn whole_second(now: i64, zone: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_second(now.div_euclid(1000)).ok()?.to_zoned(zone.clone()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn cron(fields: &str, zone: &str) -> Calendar {
        Calendar::cron(fields, TimeZone::get(zone).unwrap()).unwrap()
    }

    /// The next `count` due times after `from`, as text.
    fn due(calendar: &Calendar, from: &str, count: usize) -> Vec<String> {
        let next = |time: &i64| calendar.after(*time);
        let times = std::iter::successors(calendar.after(ms(from)), next).take(count);
        times.map(|time| Timestamp::from_millisecond(time).unwrap().to_string()).collect()
    }

    #[test]
    fn intervals_are_aligned_to_the_wall_clock() {
        let minute = |offset| Calendar::Every { every: 60_000, offset };
        assert_eq!(due(&minute(0), "2026-11-21T14:00:30.001Z", 2), ["2026-11-21T14:01:00Z", "2026-11-21T14:02:00Z"]);
        assert_eq!(due(&minute(15_000), "2026-11-21T14:00:30Z", 1), ["2026-11-21T14:01:15Z"]);
        assert_eq!(due(&minute(0), "2026-11-21T14:00:00Z", 1), ["2026-11-21T14:01:00Z"], "strictly after");
        let day = Calendar::Every { every: 86_400_000, offset: 0 };
        assert_eq!(due(&day, "1969-12-30T23:00:00Z", 2), ["1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"]);
        assert_eq!(due(&day, "2038-01-19T03:14:08Z", 1), ["2038-01-20T00:00:00Z"]);
    }

    #[test]
    fn cron_follows_its_time_zone_over_both_changes() {
        let fixed = cron("30 2 * * *", "Europe/Berlin");
        // 29 March 2026: 02:00 to 03:00 does not exist.
        assert_eq!(
            due(&fixed, "2026-03-28T00:00:00Z", 3),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        // 25 October 2026: 02:00 to 03:00 comes twice.
        assert_eq!(due(&fixed, "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        let quarter = cron("*/30 * * * *", "Europe/Berlin");
        assert_eq!(
            due(&quarter, "2026-10-25T00:15:00Z", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]
        );
        assert_eq!(due(&cron("0 9 * * 1-5", "UTC"), "2026-11-20T10:00:00Z", 1), ["2026-11-23T09:00:00Z"]);
        assert_eq!(due(&cron("@daily", "UTC"), "2026-11-20T10:00:00Z", 1), ["2026-11-21T00:00:00Z"]);
    }

    #[test]
    fn what_is_never_due_is_none() {
        assert_eq!(cron("0 0 30 2 *", "UTC").after(ms("2026-01-01T00:00:00Z")), None);
        assert_eq!(Calendar::Every { every: 1000, offset: 0 }.after(i64::MAX), None);
        assert_eq!(cron("* * * * *", "UTC").after(i64::MAX), None);
        for wrong in ["* * * *", "* * * * * *", "60 * * * *", "soon", ""] {
            assert!(Calendar::cron(wrong, TimeZone::UTC).is_err(), "{wrong}");
        }
    }

    fn any_calendar() -> impl Strategy<Value = Calendar> {
        let every = (1_i64..400_000_000).prop_flat_map(|every| (Just(every), 0..every));
        let zones = prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]);
        let fields = prop::sample::select(vec!["*/7 * * * *", "30 2 * * *", "0 */6 * * *", "15 1 1 * *", "0 0 * * 0"]);
        prop_oneof![
            every.prop_map(|(every, offset)| Calendar::Every { every, offset }),
            (fields, zones).prop_map(|(fields, zone)| cron(fields, zone)),
        ]
    }

    proptest! {
        #[test]
        fn no_time_is_due_between_the_last_and_the_next(calendar in any_calendar(), now in 0_i64..4_102_444_800_000) {
            let (last, next) = (calendar.last(now).unwrap(), calendar.after(now).unwrap());
            prop_assert!(last <= now && now < next);
            prop_assert_eq!(calendar.after(last), Some(next));
            prop_assert_eq!(calendar.last(next), Some(next));
            prop_assert_eq!(calendar.last(next - 1), Some(last));
        }
    }
}
