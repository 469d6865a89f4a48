//! One client's state, and the commands that change it. No I/O: what it says is appended to a buffer.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;

use super::{
    decode::{Arguments, Limits},
    encode::{Version, Writer},
};
use crate::{
    gateway::{House, access::may_use, publishing::Publishing},
    listen::Grant,
    live::hub::{MESSAGE_BYTES_MAX, Subscriber, Topic},
};

/// Arguments of one command.
const ARGUMENTS_MAX: usize = 10_240;

/// Bytes of one command.
const COMMAND_BYTES_MAX: usize = MESSAGE_BYTES_MAX + (64 << 10);

/// Who has not logged in yet has little to say; Redis has the same bounds.
const STRANGER: Limits = Limits { arguments: 10, argument_bytes: 16 << 10, bytes: 64 << 10, known: false };

const KNOWN: Limits = Limits { arguments: ARGUMENTS_MAX, argument_bytes: MESSAGE_BYTES_MAX, bytes: COMMAND_BYTES_MAX, known: true };

/// Publishes of one client that wait for the bridge to settle them.
const WAITING_MAX: usize = 1024;

/// `PUBSUB CHANNELS` shows no more.
const CHANNELS_SHOWN_MAX: usize = 10_000;

/// Wrong passwords before the connection ends.
pub(super) const WRONG_MAX: u32 = 5;

/// What a client may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// The door asks nobody.
    Open,
    /// It has not logged in.
    Locked,
    /// It has logged in.
    Granted(Arc<Grant>),
}

/// What follows a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next command.
    Go,
    /// The command has to wait for the publishes before it, and is to be asked again.
    Wait,
    /// What was said is sent, and then the connection ends.
    Close,
    /// The connection ends at once: somebody tries wrong passwords, or speaks HTTP.
    Expel(Expelled),
}

/// Why a connection ended at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expelled {
    /// Wrong passwords.
    Stranger,
    /// A browser's request.
    Browser,
}

/// One client.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) house: House,
    pub(super) id: u64,
    pub(super) name: Bytes,
    pub(super) version: Version,
    pub(super) access: Access,
    pub(super) subscriber: Subscriber,
    pub(super) publishing: Publishing,
    pub(super) wrong: u32,
    patterns: usize,
}

impl Session {
    /// A client that has said nothing yet.
    pub(super) fn new(house: &House, id: u64) -> Self {
        Self {
            id,
            name: Bytes::new(),
            version: Version::Two,
            access: Self::at_first(house),
            subscriber: house.hub.subscriber(house.buffer),
            publishing: Publishing::new(house.hub.clone()),
            wrong: 0,
            patterns: 0,
            house: house.clone(),
        }
    }

    fn at_first(house: &House) -> Access {
        if house.tokens.is_some() { Access::Locked } else { Access::Open }
    }

    /// What its next command may have.
    pub(super) fn limits(&self) -> Limits {
        if self.access == Access::Locked { STRANGER } else { KNOWN }
    }

    /// True while it hears something.
    pub(super) fn listens(&self) -> bool {
        !self.subscriber.topics().is_empty()
    }

    /// Runs one command. Publishes that wait for the bridge are run side by side; anything else waits for those before it.
    pub(super) fn run(&mut self, arguments: Arguments<'_>, out: &mut Vec<u8>) -> Flow {
        let name = arguments.at(0);
        let waits = self.publishing.waiting();
        if waits > 0 && (!name.eq_ignore_ascii_case(b"publish") || waits >= WAITING_MAX) {
            return Flow::Wait;
        }
        let mut writer = Writer { out, version: self.version };
        let Some(command) = super::commands::find(name) else {
            if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
                return Flow::Expel(Expelled::Browser);
            }
            writer.error(&unknown(arguments));
            return Flow::Go;
        };
        let name = command.name;
        if !command.takes(arguments.len()) {
            writer.error(&format!("ERR wrong number of arguments for '{name}' command"));
            return Flow::Go;
        }
        if self.access == Access::Locked && !command.for_strangers {
            writer.error("NOAUTH Authentication required.");
            return Flow::Go;
        }
        if self.version == Version::Two && self.listens() && !command.while_subscribed {
            writer.error(&format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
            ));
            return Flow::Go;
        }
        (command.run)(self, arguments, &mut writer)
    }

    /// What limits the client, where something does.
    fn grant(&self) -> Option<&Grant> {
        match &self.access {
            Access::Granted(grant) => Some(grant),
            Access::Open | Access::Locked => None,
        }
    }

    /// Whether it may use a topic; says so where it may not.
    pub(super) fn may_use(&self, topic: &Topic, writer: &mut Writer<'_>) -> bool {
        let may = may_use(self.grant(), topic);
        if !may {
            writer.error("NOPERM this user has no permissions to access one of the channels used as arguments");
        }
        may
    }

    /// Listens to all of the topics, or to none where one of them is not allowed.
    pub(super) fn subscribe(&mut self, kind: Kind, names: &[&[u8]], writer: &mut Writer<'_>) -> Flow {
        let topics: Vec<Topic> = names.iter().map(|name| kind.topic(name)).collect();
        if !topics.iter().all(|topic| may_use(self.grant(), topic)) {
            writer.error("NOPERM this user has no permissions to access one of the channels used as arguments");
            return Flow::Go;
        }
        for topic in topics {
            if let Err(too_much) = self.subscriber.has_room_for(&topic) {
                writer.error(&format!("ERR {too_much}"));
                return Flow::Go;
            }
            if self.subscriber.subscribe(topic.clone()) {
                self.patterns += usize::from(kind == Kind::Pattern);
            }
            self.confirm(kind.verb(true), Some(topic.name()), writer);
        }
        Flow::Go
    }

    /// Listens to these no more; without names to nothing of this kind.
    pub(super) fn unsubscribe(&mut self, kind: Kind, names: &[&[u8]], writer: &mut Writer<'_>) {
        let mut topics: Vec<Topic> = names.iter().map(|name| kind.topic(name)).collect();
        if names.is_empty() {
            topics.extend(self.subscriber.topics().iter().filter(|topic| kind.is_of(topic)).cloned());
        }
        if topics.is_empty() {
            self.confirm(kind.verb(false), None, writer);
        }
        for topic in topics {
            if self.subscriber.unsubscribe(&topic) {
                self.patterns -= usize::from(kind == Kind::Pattern);
            }
            self.confirm(kind.verb(false), Some(topic.name()), writer);
        }
    }

    fn confirm(&self, verb: &str, name: Option<&Bytes>, writer: &mut Writer<'_>) {
        writer.push(3);
        writer.bulk(verb.as_bytes());
        match name {
            Some(name) => writer.bulk(name),
            None => writer.null(),
        }
        writer.integer(i64::try_from(self.subscriber.topics().len()).unwrap_or(i64::MAX));
    }

    /// Channels that somebody listens to and that this client may know of.
    pub(super) fn channels(&self, glob: Option<&[u8]>) -> Vec<Bytes> {
        let mut channels = self.house.hub.channels(glob, CHANNELS_SHOWN_MAX);
        channels.retain(|name| may_use(self.grant(), &Topic::Channel(name.clone())));
        channels
    }

    /// Channels and patterns that it listens to.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.subscriber.topics().len() - self.patterns, self.patterns)
    }

    /// As it was when it came.
    pub(super) fn reset(&mut self) {
        for topic in self.subscriber.topics().clone() {
            self.subscriber.unsubscribe(&topic);
        }
        self.patterns = 0;
        self.version = Version::Two;
        self.name = Bytes::new();
        self.access = Self::at_first(&self.house);
    }
}

/// Which of the two kinds of subscription a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    Pattern,
}

impl Kind {
    /// A topic of this kind. The name is copied: what was read is used again.
    fn topic(self, name: &[u8]) -> Topic {
        let name = Bytes::copy_from_slice(name);
        match self {
            Self::Channel => Topic::Channel(name),
            Self::Pattern => Topic::Pattern(name),
        }
    }

    fn is_of(self, topic: &Topic) -> bool {
        (self == Self::Pattern) == matches!(topic, Topic::Pattern(_))
    }

    fn verb(self, begin: bool) -> &'static str {
        match (self, begin) {
            (Self::Channel, true) => "subscribe",
            (Self::Channel, false) => "unsubscribe",
            (Self::Pattern, true) => "psubscribe",
            (Self::Pattern, false) => "punsubscribe",
        }
    }
}

/// Redis' words for a command it does not have, with as much of it as is good for a log.
fn unknown(arguments: Arguments<'_>) -> String {
    const SHOWN: usize = 128;
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
    let mut text = format!("ERR unknown command '{}', with args beginning with: ", shown(arguments.at(0)));
    let head = text.len();
    for argument in arguments.from(1) {
        if text.len() - head >= SHOWN {
            break;
        }
        _ = write!(text, "'{}' ", shown(argument));
    }
    text
}
