//! What was checked, for people: `explain`, `graph` and `list` read this, so that they say what runs and not what was written.

use std::{ops::Deref, time::Duration};

use serde::{Serialize, Serializer};

use super::rules;
use crate::{
    broker::Remark,
    route::{DeliveryRules, NoReceivers, Ordering},
};

/// All sources that are read, with their routes.
#[derive(Debug, Clone, Serialize)]
pub struct Outline {
    /// `name`.
    pub name: String,
    /// In the order of the file.
    pub sources: Vec<SourceOutline>,
}

/// One source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceOutline {
    /// Its name.
    pub name: String,
    /// The broker's name.
    pub broker: String,
    /// The broker's kind.
    pub kind: &'static str,
    /// What is read, as a person would name it.
    pub reads: String,
    /// Its `broker/address`.
    pub address: String,
    /// False where a message taken is a message gone.
    pub holds: bool,
    /// True where whoever sends a message waits for the verdict on it.
    pub answers: bool,
    /// True where what is rejected to its broker is always kept there.
    #[serde(skip)]
    pub keeps_rejected: bool,
    /// Messages taken and not yet settled.
    pub window: usize,
    /// The same by size, in bytes.
    pub window_bytes: u64,
    /// The largest body that is looked into, in bytes.
    pub message_max: u64,
    /// `auto`, `envelope`, `cloudevents`, `standard_webhook`, `bare` or `any`.
    pub decode: &'static str,
    /// What becomes of a message that no route takes.
    pub unrouted: &'static str,
    /// Where what cannot be decoded or routed goes.
    pub dead_letter: DeadLetterOutline,
    /// What its kind has to say of it.
    #[serde(skip)]
    pub remarks: Vec<Remark>,
    /// What it feeds.
    pub routes: Vec<RouteOutline>,
}

/// One route.
#[derive(Debug, Clone, Serialize)]
pub struct RouteOutline {
    /// Its name.
    pub name: String,
    /// What it takes, as clauses: `message_type is notification_event`; none: everything.
    #[serde(rename = "match")]
    pub takes: Vec<String>,
    /// It has no `to`: the kind of an event decides where it goes, and what no destination takes is not this route's.
    pub by_kind: bool,
    /// The jq filter, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The jq transform, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// The order it keeps: `key`, `strict` or `none`.
    pub ordering: &'static str,
    /// Reading and publishing are one transaction.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exactly_once: bool,
    /// The template of its ordering key; absent: the message's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where what it cannot deliver goes.
    pub dead_letter: DeadLetterOutline,
    /// What the kind of that place has to say of it.
    #[serde(skip)]
    pub dead_letter_remarks: Vec<Remark>,
    /// Where its messages go.
    pub destinations: Vec<DestinationOutline>,
}

/// One destination.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationOutline {
    /// Its name, the metric label.
    pub name: String,
    /// The broker's name.
    pub broker: String,
    /// The broker's kind.
    pub kind: &'static str,
    /// `broker/address`, with its template.
    pub address: String,
    /// Whether a publish answers how many heard it.
    pub hears: bool,
    /// What it takes of its route's messages; none: all.
    #[serde(rename = "match")]
    pub takes: Vec<String>,
    /// The jq filter, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The form in which messages are published.
    pub envelope: &'static str,
    /// What its kind has to say of it.
    #[serde(skip)]
    pub remarks: Vec<Remark>,
    /// How deliveries are tried, timed and ended.
    #[serde(flatten)]
    pub rules: RulesOutline,
}

/// The rules of a destination, which are shown in the words of the configuration.
#[derive(Debug, Clone)]
pub struct RulesOutline(pub DeliveryRules);

impl RulesOutline {
    /// The longest that they hold a message unsettled while the destination answers; `None`: without end.
    pub fn hold_max(&self) -> Option<Duration> {
        rules::hold_max(&self.0)
    }
}

impl Deref for RulesOutline {
    type Target = DeliveryRules;

    fn deref(&self) -> &DeliveryRules {
        &self.0
    }
}

impl Serialize for RulesOutline {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let words = |duration: Duration| humantime::format_duration(duration).to_string();
        let backoff = WrittenBackoff {
            initial: words(self.backoff.initial),
            max: words(self.backoff.max),
            jitter: if self.backoff.jitter { "full" } else { "none" },
        };
        Written {
            required: self.required,
            max_errors: self.max_errors,
            deadline: self.deadline.map(words),
            timeout: words(self.timeout),
            backoff,
            rate_limit: self.rate_limit.map(|rate| format!("{rate}/s")),
            on_no_receivers: no_receivers(self.on_no_receivers),
            hold_max: self.hold_max().map(words),
        }
        .serialize(out)
    }
}

/// Where the dead go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterOutline {
    /// To this `broker/address`.
    To(String),
    /// To the source's broker's own.
    Native,
    /// Back to whoever sent it and waits for the answer.
    Answered,
    /// Lost by choice.
    Drop,
}

impl std::fmt::Display for DeadLetterOutline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::To(place) => f.write_str(place),
            Self::Native => f.write_str("native"),
            Self::Answered => f.write_str("answered"),
            Self::Drop => f.write_str("drop"),
        }
    }
}

const fn no_receivers(policy: NoReceivers) -> &'static str {
    match policy {
        NoReceivers::Ok => "ok",
        NoReceivers::Retry => "retry",
        NoReceivers::Park => "park",
        NoReceivers::DeadLetter => "dead_letter",
    }
}

/// The word of the configuration.
pub(super) const fn ordering(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Key => "key",
        Ordering::Strict => "strict",
        Ordering::None => "none",
    }
}

/// The rules in the words of the configuration.
#[derive(Serialize)]
struct Written {
    required: bool,
    max_errors: Option<u32>,
    deadline: Option<String>,
    timeout: String,
    backoff: WrittenBackoff,
    rate_limit: Option<String>,
    on_no_receivers: &'static str,
    hold_max: Option<String>,
}

#[derive(Serialize)]
struct WrittenBackoff {
    initial: String,
    max: String,
    jitter: &'static str,
}
