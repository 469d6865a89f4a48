//! What a source may say of a schedule: `every` with `offset`, or `cron` with `timezone`; and `payload`.

use std::{any::Any, borrow::Cow, fmt::Write, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use schemars::JsonSchema;

use super::{calendar::Calendar, payload::Payload, source::Ticking};
use crate::{
    broker::{House, OpenError, Origin, Source, Target},
    envelope::{Carrier, HeaderValue, Property, rfc3339},
    written::{Millis, Node, Problems},
};

/// What ticks faster is no schedule.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// Longer than a year, and nobody will see it tick.
const EVERY_MAX: Duration = Duration::from_secs(366 * 86_400);

/// From when on a cron must be due at some time: 1 January 2024.
const SOME_DAY: i64 = 1_704_067_200_000;

/// A schedule, checked.
#[derive(Debug, Clone)]
pub(super) struct ScheduleOrigin {
    /// The source's name, or its address where it has none: part of each tick's identity.
    pub(super) source: Arc<str>,
    /// `broker/every 10s`
    address: Arc<str>,
    /// What is not named otherwise is called so.
    message_name: Arc<str>,
    /// When.
    pub(super) calendar: Calendar,
    /// What.
    pub(super) payload: Payload,
}

/// Reads a source; the short form is an interval (`clock/10s`) or a cron (`clock/*/5 * * * *`), in UTC.
pub(super) fn read(node: &Node, broker: &str, faults: &mut Problems) -> Option<ScheduleOrigin> {
    let (calendar, words, payload) = match node.text() {
        Some(text) => {
            let calendar = match Millis::read(text) {
                Some(every) => interval(node, every, Duration::ZERO, faults),
                None => by_cron(node, text, TimeZone::UTC, faults),
            };
            (calendar, text.to_owned(), Payload::time())
        }
        None => read_map(node, faults)?,
    };
    let address: Arc<str> = format!("{broker}/{words}").into();
    let name = node.path().strip_prefix("sources.").filter(|_| node.is_map());
    Some(ScheduleOrigin {
        source: name.map_or_else(|| Arc::clone(&address), Arc::from),
        message_name: name.unwrap_or("Tick").into(),
        address,
        calendar: calendar?,
        payload,
    })
}

fn read_map(node: &Node, faults: &mut Problems) -> Option<(Option<Calendar>, String, Payload)> {
    let every: Option<Millis> = node.opt("every", faults);
    let offset: Option<Millis> = node.opt("offset", faults);
    let cron: Option<String> = node.opt("cron", faults);
    let zone = node.child("timezone").map(|zone| (zone, read_zone(zone, faults)));
    let payload = node.child("payload").map(|payload| Payload::read(payload, faults));
    let mut words = String::new();
    let calendar = match (every, cron) {
        (Some(every), None) => {
            let offset = offset.map_or(Duration::ZERO, |offset| offset.0);
            _ = write!(words, "every {every}");
            if !offset.is_zero() {
                _ = write!(words, " offset {}", Millis(offset));
            }
            if let Some((zone, _)) = zone {
                faults
                    .fault(zone.at(), "`timezone` belongs to `cron`: intervals are counted in UTC")
                    .hint("`cron: \"0 9 * * *\"` is due at nine in its time zone");
            }
            interval(node, every.0, offset, faults)
        }
        (None, Some(cron)) => {
            if offset.is_some() {
                faults.fault(node.at(), "`offset` belongs to `every`; a cron has its minutes");
            }
            let zone = zone.map_or(Some(TimeZone::UTC), |(_, zone)| zone);
            let name = zone.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC");
            _ = write!(words, "cron {cron} {name}");
            zone.and_then(|zone| by_cron(node.child("cron").unwrap_or(node), &cron, zone, faults))
        }
        (Some(_), Some(_)) => {
            faults.fault(node.at(), "`every` and `cron` exclude each other");
            return None;
        }
        (None, None) => {
            // A value that is no duration has had its fault.
            if node.peek("every").or(node.peek("cron")).is_none() {
                faults.fault(node.at(), "a schedule needs `every` or `cron`").hint("`every: 10s`, or `cron: \"0 9 * * 1-5\"`");
            }
            return None;
        }
    };
    Some((calendar, words, payload.unwrap_or_else(|| Some(Payload::time()))?))
}

fn read_zone(node: &Node, faults: &mut Problems) -> Option<TimeZone> {
    let Some(name) = node.text() else { return node.expected("the name of a time zone", None, faults) };
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        faults.fault(node.at(), format!("`{name}` is no time zone")).hint("names of the IANA database, as `Europe/Berlin`");
    }
    zone
}

fn interval(node: &Node, every: Duration, offset: Duration, faults: &mut Problems) -> Option<Calendar> {
    let at = |key| node.peek(key).unwrap_or(node).at();
    if !(EVERY_MIN..=EVERY_MAX).contains(&every) {
        faults.fault(at("every"), "`every` is between 100 ms and a year");
        return None;
    }
    if offset >= every {
        faults.fault(at("offset"), "`offset` is less than `every`: it moves the ticks within the interval");
        return None;
    }
    // Bounded above: both fit.
    Some(Calendar::Every { every: every.as_millis() as i64, offset: offset.as_millis() as i64 })
}

fn by_cron(node: &Node, fields: &str, zone: TimeZone, faults: &mut Problems) -> Option<Calendar> {
    let calendar = match Calendar::cron(fields, zone) {
        Ok(calendar) => calendar,
        Err(error) => {
            faults
                .fault(node.at(), format!("`{fields}` is no cron: {error}"))
                .hint("five fields: minute, hour, day of month, month, day of week");
            return None;
        }
    };
    if calendar.after(SOME_DAY).is_none() {
        faults.fault(node.at(), format!("`{fields}` is never due"));
        return None;
    }
    Some(calendar)
}

impl ScheduleOrigin {
    /// What travels with the tick that was due at `time`.
    pub(super) fn carrier(&self, time: i64) -> Arc<dyn Carrier> {
        Arc::new(Due { source: Arc::clone(&self.source), name: Arc::clone(&self.message_name), time })
    }
}

#[async_trait]
impl Origin for ScheduleOrigin {
    fn display(&self) -> String {
        self.address.to_string()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        false
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(Ticking::new(self.clone(), house)))
    }

    fn inlet(&self) -> Option<Target> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// One tick.
#[derive(Debug)]
struct Due {
    source: Arc<str>,
    name: Arc<str>,
    time: i64,
}

impl Carrier for Due {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        (property == Property::Name).then_some(Cow::Borrowed(&self.name))
    }

    fn header(&self, _: &str) -> Option<HeaderValue<'_>> {
        None
    }

    fn headers(&self, _: &mut dyn FnMut(&str, HeaderValue<'_>)) {}

    fn word(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn time(&self) -> Option<i64> {
        Some(self.time)
    }

    /// The same in every replica and after every restart.
    fn position(&self) -> Option<String> {
        Some(format!("{}/{}", self.source, rfc3339(self.time)))
    }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// An interval, aligned to the wall clock in UTC: `10s`.
    every: Option<String>,
    /// Moves the ticks within the interval: `15s`.
    offset: Option<String>,
    /// Five fields: minute, hour, day of month, month, day of week.
    cron: Option<String>,
    /// The time zone of `cron`: `Europe/Berlin`. Default: UTC.
    timezone: Option<String>,
    /// What each tick sends, as YAML; in texts `{time}`, `{name}`, `{instance}` and `{source}` are put in. Default: `{ time: "{time}" }`.
    payload: Option<serde_json::Value>,
}
