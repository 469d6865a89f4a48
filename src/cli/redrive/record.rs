//! What a dead letter says of itself, and the letter without it.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use globset::{Glob, GlobMatcher};

use crate::{
    envelope::{Carrier, HeaderValue, Property, RawMessage},
    route::Death,
};

/// What RabbitMQ adds to a message that it dead-letters itself.
const DEATHS: [&str; 4] = ["x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"];

/// Where a letter was to go, and why it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) route: String,
    pub(super) destination: String,
    pub(super) address: String,
    pub(super) source: String,
    pub(super) reason: String,
}

impl Record {
    /// Reads it; `None` where the letter does not say where it was to go.
    pub(super) fn read(carrier: &dyn Carrier) -> Option<Self> {
        let text = |name: &str| {
            let header = carrier.header(&format!("{}{name}", Death::PREFIX))?;
            header.to_text().map(Cow::into_owned).filter(|text| !text.is_empty())
        };
        Some(Self {
            route: text("route")?,
            destination: text("destination")?,
            address: text("original-address")?,
            source: text("source").unwrap_or_default(),
            reason: text("reason").unwrap_or_default(),
        })
    }
}

/// The letter as it was before it died.
pub(super) fn revive(letter: &RawMessage) -> RawMessage {
    RawMessage { body: letter.body.clone(), carrier: Arc::new(Revived(letter.carrier.clone())) }
}

/// A carrier without what its death added.
#[derive(Debug)]
struct Revived(Arc<dyn Carrier>);

fn is_of_death(name: &str) -> bool {
    name.starts_with(Death::PREFIX) || DEATHS.contains(&name)
}

impl Carrier for Revived {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        self.0.property(property)
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        if is_of_death(name) { None } else { self.0.header(name) }
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        self.0.headers(&mut |name, value| {
            if !is_of_death(name) {
                each(name, value);
            }
        });
    }

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.word(name)
    }

    fn time(&self) -> Option<i64> {
        self.0.time()
    }

    fn position(&self) -> Option<String> {
        self.0.position()
    }
}

/// `--filter KEY=GLOB`.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    key: Key,
    glob: GlobMatcher,
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Route,
    Destination,
    Address,
    Source,
    Reason,
}

const KEYS: [(&str, Key); 5] = [
    ("route", Key::Route),
    ("destination", Key::Destination),
    ("address", Key::Address),
    ("source", Key::Source),
    ("reason", Key::Reason),
];

impl Filter {
    pub(super) fn matches(&self, record: &Record) -> bool {
        self.glob.is_match(match self.key {
            Key::Route => &record.route,
            Key::Destination => &record.destination,
            Key::Address => &record.address,
            Key::Source => &record.source,
            Key::Reason => &record.reason,
        })
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let (name, glob) = written.split_once('=').ok_or("a filter is KEY=GLOB")?;
        let key = KEYS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key);
        let key = key.ok_or_else(|| format!("`{name}` is none of {}", KEYS.map(|(known, _)| known).join(", ")))?;
        let glob = Glob::new(glob).map_err(|error| error.to_string())?.compile_matcher();
        Ok(Self { key, glob })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[derive(Debug)]
    struct Headers(Vec<(&'static str, &'static str)>);

    impl Carrier for Headers {
        fn property(&self, _: Property) -> Option<Cow<'_, str>> {
            Some("kept".into())
        }
        fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| HeaderValue::Str(value))
        }
        fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
            for (name, value) in &self.0 {
                each(name, HeaderValue::Str(value));
            }
        }
        fn word(&self, _: &str) -> Option<Cow<'_, str>> {
            None
        }
        fn time(&self) -> Option<i64> {
            Some(7)
        }
        fn position(&self) -> Option<String> {
            None
        }
    }

    fn letter() -> Headers {
        Headers(vec![
            ("rialto-dead-route", "notify"),
            ("rialto-dead-destination", "live"),
            ("rialto-dead-original-address", "app:1"),
            ("rialto-dead-source", "orders"),
            ("rialto-dead-reason", "timeout"),
            ("x-death", "[...]"),
            ("tenant", "acme"),
        ])
    }

    #[test]
    fn a_letter_says_where_it_was_to_go() {
        let record = Record::read(&letter()).unwrap();
        assert_eq!((record.route.as_str(), record.destination.as_str(), record.address.as_str()), ("notify", "live", "app:1"));
    }

    #[test]
    fn a_letter_that_met_no_destination_has_no_record() {
        for missing in 0..3 {
            let mut headers = letter();
            headers.0[missing].1 = "";
            assert_eq!(Record::read(&headers), None);
            headers.0.remove(missing);
            assert_eq!(Record::read(&headers), None);
        }
    }

    #[test]
    fn a_revived_letter_keeps_all_but_its_death() {
        let raw = RawMessage { body: Bytes::from_static(b"body"), carrier: Arc::new(letter()) };
        let revived = revive(&raw);
        let mut names = Vec::new();
        revived.carrier.headers(&mut |name, _| names.push(name.to_owned()));
        assert_eq!(names, ["tenant"]);
        assert_eq!(revived.carrier.header("x-death"), None);
        assert_eq!(revived.carrier.header("rialto-dead-route"), None);
        assert_eq!(revived.carrier.header("tenant"), Some(HeaderValue::Str("acme")));
        assert_eq!(revived.carrier.property(Property::Id).as_deref(), Some("kept"));
        assert_eq!((revived.carrier.time(), &*revived.body), (Some(7), b"body".as_slice()));
    }

    #[test]
    fn filters_are_globs_on_what_is_recorded() {
        let record = Record::read(&letter()).unwrap();
        let matches = |written: &str| written.parse::<Filter>().unwrap().matches(&record);
        assert!(matches("route=not*") && matches("reason=timeout") && matches("address=app:*"));
        assert!(!matches("route=other") && !matches("destination=liv") && !matches("source=o"));
        assert!("colour=red".parse::<Filter>().is_err() && "route".parse::<Filter>().is_err());
    }
}
