//! What a Redis client is told, in the protocol it speaks.

use crate::live::hub::{Delivery, Topic};

/// The protocol's version, chosen with `HELLO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// RESP2: what is pushed looks like a reply.
    Two,
    /// RESP3.
    Three,
}

/// Appends replies to what a client will get.
pub(super) struct Writer<'a> {
    /// Where to.
    pub(super) out: &'a mut Vec<u8>,
    /// In which protocol.
    pub(super) version: Version,
}

impl Writer<'_> {
    /// `+OK`; the text holds no line break.
    pub(super) fn simple(&mut self, text: &str) {
        self.out.push(b'+');
        self.line(text.as_bytes());
    }

    /// `-CODE words`. Line breaks in it become spaces.
    pub(super) fn error(&mut self, text: &str) {
        self.out.push(b'-');
        self.out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    pub(super) fn integer(&mut self, number: i64) {
        self.out.push(b':');
        self.number(number);
    }

    pub(super) fn bulk(&mut self, bytes: &[u8]) {
        push_bulk(self.out, bytes);
    }

    pub(super) fn null(&mut self) {
        self.out.extend_from_slice(match self.version {
            Version::Two => b"$-1\r\n",
            Version::Three => b"_\r\n",
        });
    }

    /// The head of a list of so many.
    pub(super) fn array(&mut self, length: usize) {
        self.head(b'*', length);
    }

    /// The head of a map of so many pairs.
    pub(super) fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Two => self.head(b'*', 2 * pairs),
            Version::Three => self.head(b'%', pairs),
        }
    }

    /// The head of something that answers no command.
    pub(super) fn push(&mut self, length: usize) {
        self.head(push_sign(self.version), length);
    }

    /// A text for people, which RESP3 tells apart.
    pub(super) fn verbatim(&mut self, text: &str) {
        match self.version {
            Version::Two => self.bulk(text.as_bytes()),
            Version::Three => {
                self.head(b'=', text.len() + 4);
                self.out.extend_from_slice(b"txt:");
                self.line(text.as_bytes());
            }
        }
    }

    fn head(&mut self, sign: u8, length: usize) {
        self.out.push(sign);
        self.number(length);
    }

    fn number(&mut self, number: impl itoa::Integer) {
        self.line(itoa::Buffer::new().format(number).as_bytes());
    }

    fn line(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends one message of a subscription.
pub(super) fn push_delivery(out: &mut Vec<u8>, version: Version, delivery: &Delivery) {
    let message = &delivery.message;
    out.reserve(message.channel.len() + message.body.len() + delivery.topic.name().len() + 80);
    out.push(push_sign(version));
    match &delivery.topic {
        Topic::Channel(_) => out.extend_from_slice(b"3\r\n$7\r\nmessage\r\n"),
        Topic::Pattern(glob) => {
            out.extend_from_slice(b"4\r\n$8\r\npmessage\r\n");
            push_bulk(out, glob);
        }
    }
    push_bulk(out, &message.channel);
    push_bulk(out, &message.body);
}

fn push_sign(version: Version) -> u8 {
    match version {
        Version::Two => b'*',
        Version::Three => b'>',
    }
}

fn push_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    out.extend_from_slice(itoa::Buffer::new().format(bytes.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
