//! Times as text. No clock is read here: every time comes with the message or from the caller.

use std::borrow::Cow;

use jiff::{Timestamp, civil::DateTime};

use super::{Message, field::child, json};

/// Milliseconds since the Unix epoch in RFC 3339, UTC: `2023-03-07T09:26:02.588Z`. A time beyond the year 9999 is the nearest there is.
pub fn rfc3339(ms: i64) -> String {
    let bound = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(bound).to_string()
}

/// A time as producers write it (ISO 8601, as Python's `isoformat`) in RFC 3339, UTC; without a zone it is UTC. `None` where it is no
/// time.
fn normal(written: &str) -> Option<String> {
    let zoned = written.parse::<Timestamp>();
    let time = zoned.or_else(|_| {
        written.parse::<DateTime>().and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC)).map(|time| time.timestamp())
    });
    Some(time.ok()?.to_string())
}

impl Message {
    /// When the event happened, in RFC 3339: what its envelope says, else `event_timestamp` of its payload, else the transport's time.
    pub fn event_time(&self) -> Option<Cow<'_, str>> {
        let said = self.attribute("time").map(Cow::Borrowed).or_else(|| self.metadata_field("timestamp"));
        if let Some(said) = said {
            return Some(normal(&said).map_or(said, Cow::Owned));
        }
        let inside = self.payload_text().and_then(|payload| child(payload, "event_timestamp")).and_then(json::string);
        inside.and_then(|text| normal(&text)).or_else(|| self.time_ms().map(rfc3339)).map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_utc() {
        let cases = [
            ("2023-03-07T09:26:02.588855", Some("2023-03-07T09:26:02.588855Z")),
            ("2023-03-07 09:26:02", Some("2023-03-07T09:26:02Z")),
            ("2023-03-07T09:26:02Z", Some("2023-03-07T09:26:02Z")),
            ("2023-03-07T10:26:02.5+01:00", Some("2023-03-07T09:26:02.5Z")),
            ("1678181162", None),
            ("yesterday", None),
        ];
        for (written, expected) in cases {
            assert_eq!(normal(written).as_deref(), expected, "{written}");
        }
    }

    #[test]
    fn milliseconds_are_spelled_in_rfc_3339() {
        assert_eq!(rfc3339(1_678_181_162_588), "2023-03-07T09:26:02.588Z");
        assert_eq!(rfc3339(i64::MAX), Timestamp::MAX.to_string());
    }
}
