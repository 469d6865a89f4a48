//! What an answer means.
//!
//! <https://learn.microsoft.com/rest/api/servicebus/send-message-batch>: 201; 400; 401 for every lack of a right; 403 for a full quota and for
//! too large a message; 410 for a missing queue or topic; 500. Gateways before it answer 404, 429 and 503 too.

use std::time::Duration;

use reqwest::StatusCode;

use crate::outcome::{Outcome, Reason, Refusal};

/// So much of an answer's text is quoted.
const QUOTED_MAX: usize = 300;

/// An answer as it came.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `Retry-After`.
    pub(super) after: Option<Duration>,
    /// How its body begins.
    pub(super) said: String,
}

/// What it says of the messages of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// All are in the queue or topic.
    Delivered,
    /// None is, and it is no message's fault: all that wait behind them have the same to expect.
    Nobody(Outcome),
    /// None is, because of at least one of them: alone, that one is answered so.
    Somebody(Refusal),
    /// The namespace itself failed. Perhaps over one of them.
    Broken(Refusal),
}

impl Answer {
    /// Judges it.
    pub(super) fn meaning(&self) -> Meaning {
        let refusal = |reason| Refusal::new(reason, self.quoted());
        let nobody = |reason| Meaning::Nobody(Outcome::Refused(refusal(reason)));
        match self.status.as_u16() {
            201 => Meaning::Delivered,
            401 if self.lacks_a_right() => nobody(Reason::Forbidden),
            401 => nobody(Reason::Unauthenticated),
            403 if self.is_full() => self.throttled(),
            403 if self.is_too_large() => Meaning::Somebody(refusal(Reason::TooLarge)),
            403 => nobody(Reason::Forbidden),
            // 410 means the same here as 404, and not that somebody is gone for good.
            404 | 410 => nobody(Reason::Unroutable),
            408 | 425 | 429 | 502..=504 => self.throttled(),
            413 => Meaning::Somebody(refusal(Reason::TooLarge)),
            400 | 402 | 405..=499 => Meaning::Somebody(refusal(Reason::Final)),
            500..=599 => Meaning::Broken(refusal(Reason::Refused)),
            // Another 2xx or a redirect: whoever said that is not Service Bus, and nothing was delivered to one.
            _ => nobody(Reason::Unroutable),
        }
    }

    fn throttled(&self) -> Meaning {
        Meaning::Nobody(Outcome::Throttled { after: self.after, detail: self.quoted() })
    }

    /// The namespace has only 401 for both: `'Send' claim(s) are required to perform this operation`.
    fn lacks_a_right(&self) -> bool {
        self.says("claim")
    }

    /// `The maximum entity size has been reached or exceeded`, `quota`.
    fn is_full(&self) -> bool {
        self.says("quota") || self.says("entity size")
    }

    /// `The message size exceeds the limit`, `too large`.
    fn is_too_large(&self) -> bool {
        self.says("too large") || self.says("exceed")
    }

    fn says(&self, words: &str) -> bool {
        self.said.to_ascii_lowercase().contains(words)
    }

    /// `answered 403 Forbidden: …`, on one line.
    pub(super) fn quoted(&self) -> String {
        let hint = match self.status.as_u16() {
            201 | 400..=599 => "",
            _ => ", which Service Bus does not",
        };
        let detail = detail_of(&self.said);
        let mut line: String = detail.split_whitespace().collect::<Vec<_>>().join(" ");
        line.retain(|letter| !letter.is_control());
        if let Some((end, _)) = line.char_indices().nth(QUOTED_MAX) {
            line.truncate(end);
        }
        let gap = if line.is_empty() { "" } else { ": " };
        format!("answered {}{hint}{gap}{line}", self.status)
    }
}

/// Errors come as `<Error><Code>401</Code><Detail>…</Detail></Error>`.
fn detail_of(said: &str) -> &str {
    let inner = said.split_once("<Detail>").map(|(_, rest)| rest.split_once("</Detail>").map_or(rest, |(detail, _)| detail));
    inner.unwrap_or(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, said: &str) -> Meaning {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, after: Some(Duration::from_secs(7)), said: said.to_owned() }.meaning()
    }

    /// Whose fault, and its label.
    fn of(status: u16, said: &str) -> (&'static str, Reason) {
        match meaning(status, said) {
            Meaning::Delivered => ("delivered", Reason::Refused),
            Meaning::Nobody(Outcome::Refused(refusal)) => ("nobody", refusal.reason),
            Meaning::Nobody(Outcome::Throttled { after: Some(_), .. }) => ("nobody", Reason::Throttled),
            Meaning::Somebody(refusal) => ("somebody", refusal.reason),
            Meaning::Broken(refusal) => ("broken", refusal.reason),
            other @ Meaning::Nobody(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_201_is_delivered() {
        for status in 200..600 {
            assert_eq!(meaning(status, "") == Meaning::Delivered, status == 201, "{status}");
        }
    }

    #[test]
    fn each_status_means_what_the_documentation_says() {
        for (status, said, due) in [
            (200, "", ("nobody", Reason::Unroutable)),
            (302, "", ("nobody", Reason::Unroutable)),
            (400, "", ("somebody", Reason::Final)),
            (401, "40103: Invalid authorization token signature", ("nobody", Reason::Unauthenticated)),
            (401, "Unauthorized access. 'Send' claim(s) are required", ("nobody", Reason::Forbidden)),
            (403, "", ("nobody", Reason::Forbidden)),
            (403, "The message size exceeds the limit of (262144) bytes", ("somebody", Reason::TooLarge)),
            (403, "The maximum entity size has been reached or exceeded for Queue: 'q'", ("nobody", Reason::Throttled)),
            (403, "Quota exceeded", ("nobody", Reason::Throttled)),
            (404, "", ("nobody", Reason::Unroutable)),
            (409, "", ("somebody", Reason::Final)),
            (410, "", ("nobody", Reason::Unroutable)),
            (413, "", ("somebody", Reason::TooLarge)),
            (429, "", ("nobody", Reason::Throttled)),
            (500, "", ("broken", Reason::Refused)),
            (501, "", ("broken", Reason::Refused)),
            (503, "", ("nobody", Reason::Throttled)),
        ] {
            assert_eq!(of(status, said), due, "{status} {said}");
        }
    }

    #[test]
    fn an_answer_is_quoted_by_its_detail_on_one_line() {
        let quoted = |status: u16, said: &str| {
            Answer { status: StatusCode::from_u16(status).unwrap(), after: None, said: said.into() }.quoted()
        };
        let said = "<Error><Code>401</Code><Detail>InvalidSignature:\n The token\x1b has an invalid signature.</Detail></Error>";
        assert_eq!(quoted(401, said), "answered 401 Unauthorized: InvalidSignature: The token has an invalid signature.");
        assert_eq!(quoted(200, ""), "answered 200 OK, which Service Bus does not");
        assert!(quoted(500, &"x".repeat(10_000)).len() < 400);
    }
}
