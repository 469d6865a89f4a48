//! What an answer means (docs/guarantees.md, "What counts as a try"; Standard Webhooks 1.0, "Delivery success and failure").

use std::time::SystemTime;

use hyper::{HeaderMap, StatusCode};

use crate::{
    broker::retry_after::retry_after,
    outcome::{Outcome, Proof, Reason, Refusal},
};

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

    fn judged(status: u16) -> Outcome {
        outcome(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), b"", SystemTime::now())
    }

    fn reason(status: u16) -> Option<Reason> {
        match judged(status) {
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
    fn an_answer_is_quoted_in_one_line() {
        let of = |status: u16, said: &[u8]| quoted(StatusCode::from_u16(status).unwrap(), said);
        assert_eq!(of(500, b"boom\x1b[31m\nat line 3"), "answered 500 Internal Server Error: boom[31m");
        assert_eq!(of(302, b""), "answered 302 Found (redirects are not followed)");
        assert!(of(500, &[b'x'; 10_000]).len() < 300);
    }
}
