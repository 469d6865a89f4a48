//! What an answer means (docs/guarantees.md, "What counts as a try"; Standard Webhooks 1.0, "Delivery success and failure").

use std::time::{Duration, SystemTime};

use hyper::{HeaderMap, StatusCode, header::RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::outcome::{Outcome, Proof, Reason, Refusal};

/// A server may ask for this much patience and no more.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// So much of an answer is quoted.
pub(super) const QUOTED_BYTES_MAX: usize = 200;

/// Judges an answer that came whole; `said` is how its body begins.
pub(super) fn outcome(status: StatusCode, headers: &HeaderMap, said: &[u8], now: SystemTime) -> Outcome {
    if status.is_success() {
        return Outcome::Delivered(Proof::Confirmed);
    }
    let detail = quoted(status, said);
    let reason = match status.as_u16() {
        408 | 425 | 429 | 502..=504 => return Outcome::Throttled { after: retry_after(headers, now), detail },
        401 => Reason::Unauthenticated,
        403 => Reason::Forbidden,
        404 => Reason::Unroutable,
        410 => Reason::Gone,
        413 => Reason::TooLarge,
        400..=499 => Reason::Final,
        // 3xx too: whoever moves an endpoint says so to its senders, and a redirect is how a request is led elsewhere.
        _ => Reason::Refused,
    };
    Outcome::Refused(Refusal::new(reason, detail))
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
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

/// `answered 500 Internal Server Error: the body's first line`.
fn quoted(status: StatusCode, said: &[u8]) -> String {
    let text = String::from_utf8_lossy(&said[..said.len().min(QUOTED_BYTES_MAX)]);
    let line: String = text.lines().next().unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect();
    let hint = if status.is_redirection() { " (redirects are not followed)" } else { "" };
    let gap = if line.trim().is_empty() { "" } else { ": " };
    format!("answered {status}{hint}{gap}{}", line.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, retry_after: Option<&str>) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        let now = SystemTime::from("2015-10-21T07:27:30Z".parse::<jiff::Timestamp>().unwrap());
        outcome(StatusCode::from_u16(status).unwrap(), &headers, b"", now)
    }

    fn reason(status: u16) -> Option<Reason> {
        match judged(status, None) {
            Outcome::Delivered(_) => None,
            Outcome::Throttled { after: None, .. } => Some(Reason::Throttled),
            Outcome::Refused(refusal) => Some(refusal.reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_status_means_what_the_table_says() {
        let table = [
            (200..=299, None),
            (300..=399, Some(Reason::Refused)),
            (400..=400, Some(Reason::Final)),
            (401..=401, Some(Reason::Unauthenticated)),
            (402..=402, Some(Reason::Final)),
            (403..=403, Some(Reason::Forbidden)),
            (404..=404, Some(Reason::Unroutable)),
            (405..=407, Some(Reason::Final)),
            (408..=408, Some(Reason::Throttled)),
            (409..=409, Some(Reason::Final)),
            (410..=410, Some(Reason::Gone)),
            (411..=412, Some(Reason::Final)),
            (413..=413, Some(Reason::TooLarge)),
            (414..=424, Some(Reason::Final)),
            (425..=425, Some(Reason::Throttled)),
            (426..=428, Some(Reason::Final)),
            (429..=429, Some(Reason::Throttled)),
            (430..=499, Some(Reason::Final)),
            (500..=501, Some(Reason::Refused)),
            (502..=504, Some(Reason::Throttled)),
            (505..=999, Some(Reason::Refused)),
        ];
        for (statuses, due) in table {
            for status in statuses {
                assert_eq!(reason(status), due, "{status}");
            }
        }
    }

    #[test]
    fn patience_is_read_in_seconds_and_as_a_date_and_has_an_end() {
        let after = |text| match judged(503, Some(text)) {
            Outcome::Throttled { after, .. } => after,
            other => panic!("{other:?}"),
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(after("7"), seconds(7));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), seconds(30));
        assert_eq!(after("86400"), seconds(300));
        assert_eq!(after("99999999999999999999999999"), seconds(300));
        assert_eq!(after("Sun, 21 Oct 2035 07:28:00 GMT"), seconds(300));
        for none in ["0", "Tue, 21 Oct 2014 07:28:00 GMT", "soon", "-1", "1.5"] {
            assert_eq!(after(none), None, "{none}");
        }
    }

    #[test]
    fn an_answer_is_quoted_in_one_line() {
        let of = |status: u16, said: &[u8]| quoted(StatusCode::from_u16(status).unwrap(), said);
        assert_eq!(of(500, b"boom\x1b[31m\nat line 3"), "answered 500 Internal Server Error: boom[31m");
        assert_eq!(of(302, b""), "answered 302 Found (redirects are not followed)");
        assert!(of(500, &[b'x'; 10_000]).len() < 300);
    }
}
