//! `Retry-After`: how long a server asks for patience.

use std::time::{Duration, SystemTime};

use hyper::{HeaderMap, header::RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;

/// A server may ask for this much patience and no more.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Seconds, or a date (RFC 9110, 10.2.3); `None` where it asks for none, or for something that is neither.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are more patience than there is.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = DateTimeParser::new().parse_timestamp(text).ok()?;
        SystemTime::from(date).duration_since(now).unwrap_or_default()
    };
    // None is the usual pause, which is never a hot loop.
    Some(wait.min(RETRY_AFTER_MAX)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_read_in_seconds_and_as_a_date_and_has_an_end() {
        let now = SystemTime::from("2015-10-21T07:27:30Z".parse::<jiff::Timestamp>().unwrap());
        let after = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), now);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(after("7"), seconds(7));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), seconds(30));
        assert_eq!(after("86400"), seconds(300));
        assert_eq!(after("99999999999999999999999999"), seconds(300));
        assert_eq!(after("Sun, 21 Oct 2035 07:28:00 GMT"), seconds(300));
        for none in ["0", "Tue, 21 Oct 2014 07:28:00 GMT", "soon", "-1", "1.5"] {
            assert_eq!(after(none), None, "{none}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
