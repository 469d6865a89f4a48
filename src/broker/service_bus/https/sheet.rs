//! Messages of a batch as JSON, in the form that Service Bus takes several in
//! (<https://learn.microsoft.com/rest/api/servicebus/send-message-batch>).
//!
//! Written by hand around the bodies: a tree would cost ten times as much. A body is a JSON text in it and arrives as the bytes it is
//! in UTF-8; one that is no UTF-8 is base64, and says so in a property.

use std::{borrow::Cow, fmt::Write as _, ops::Range};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::fmt::rfc2822::DateTimePrinter;

use super::super::properties::{BASE64, ENCODING, Properties, each_application};
use crate::{broker::Outgoing, envelope::HeaderValue, outcome::Refusal};

/// What a message needs beside its body and the texts of its properties, roughly.
const OVERHEAD: usize = 320;

/// The content type is no property that a batch is documented to take, so it travels as an application property too.
const CONTENT_TYPE: &str = "content-type";
const JSON: &str = "application/json";

/// Messages for one queue or topic, in order.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    text: String,
    /// Where each message ends in `text`.
    ends: Vec<usize>,
}

impl Sheet {
    /// Writes a message down; one that cannot be written leaves no trace.
    pub(super) fn write(&mut self, out: &Outgoing<'_>) -> Result<(), Refusal> {
        let properties = Properties::of(out)?;
        self.text.reserve(out.body.len() + out.body.len() / 8 + OVERHEAD);
        write_message(&mut self.text, out, &properties);
        self.ends.push(self.text.len());
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The first messages of `range` that make one request of at most `bytes_max`; always at least one.
    pub(super) fn fitting(&self, range: &Range<usize>, bytes_max: usize) -> usize {
        let start = self.start(range.start);
        // Each message brings a comma or the last bracket with it, and the first bracket stands before all.
        let fits = |at: &usize| self.ends[*at] - start + (*at - range.start) + 2 <= bytes_max;
        range.clone().take_while(fits).count().max(1)
    }

    /// The request for a range.
    pub(super) fn request(&self, range: &Range<usize>) -> String {
        let bytes = self.start(range.end) - self.start(range.start);
        let mut request = String::with_capacity(bytes + range.len() + 1);
        request.push('[');
        for at in range.clone() {
            if at > range.start {
                request.push(',');
            }
            request.push_str(&self.text[self.start(at)..self.ends[at]]);
        }
        request.push(']');
        request
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

fn write_message(text: &mut String, out: &Outgoing<'_>, properties: &Properties<'_>) {
    text.push_str("{\"Body\":");
    let readable = std::str::from_utf8(out.body);
    if let Ok(body) = readable {
        string(text, body);
    } else {
        text.push('"');
        BASE64_STANDARD.encode_string(out.body, text);
        text.push('"');
    }
    text.push_str(",\"BrokerProperties\":");
    let mut broker = Object::open(text);
    broker.text("MessageId", &properties.message_id);
    if !properties.subject.is_empty() {
        broker.text("Label", properties.subject);
    }
    for (name, value) in [
        ("CorrelationId", properties.correlation_id.as_deref()),
        ("ContentType", properties.content_type.as_deref()),
        ("SessionId", properties.session_id),
        ("PartitionKey", properties.partition_key.as_deref()),
        ("ReplyTo", properties.reply_to.as_deref()),
    ] {
        if let Some(value) = value {
            broker.text(name, value);
        }
    }
    if let Some(moment) = properties.scheduled_at {
        // As the examples of the documentation have it; a year that it cannot spell is not sent.
        if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&moment) {
            broker.text("ScheduledEnqueueTimeUtc", &date);
        }
    }
    broker.close();
    text.push_str(",\"UserProperties\":");
    let mut user = Object::open(text);
    let mut typed = false;
    each_application(out, &mut |name, value| {
        typed |= name == CONTENT_TYPE;
        user.value(name, value);
    });
    if let Some(kind) = properties.content_type.as_deref().filter(|kind| !typed && *kind != JSON) {
        user.text(CONTENT_TYPE, kind);
    }
    if readable.is_err() {
        user.text(ENCODING, BASE64);
    }
    user.close();
    text.push('}');
}

/// An object that is being written.
struct Object<'t> {
    text: &'t mut String,
    empty: bool,
}

impl<'t> Object<'t> {
    fn open(text: &'t mut String) -> Self {
        text.push('{');
        Self { text, empty: true }
    }

    fn name(&mut self, name: &str) {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        string(self.text, name);
        self.text.push(':');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        string(self.text, value);
    }

    /// As typed as JSON has it: bytes that are no text become base64, and null is left out.
    fn value(&mut self, name: &str, value: HeaderValue<'_>) {
        match value {
            HeaderValue::Null => {}
            HeaderValue::Str(value) => self.text(name, value),
            HeaderValue::Bytes(bytes) => {
                let value = std::str::from_utf8(bytes).map_or_else(|_| BASE64_STANDARD.encode(bytes).into(), Cow::Borrowed);
                self.text(name, &value);
            }
            HeaderValue::Int(number) | HeaderValue::Time(number) => {
                self.name(name);
                self.text.push_str(itoa::Buffer::new().format(number));
            }
            HeaderValue::Float(number) if number.is_finite() => {
                self.name(name);
                // With a point in it, so that it is read as what it was.
                // Writing into a `String` cannot fail.
                let _ = write!(self.text, "{number:?}");
            }
            HeaderValue::Float(number) => self.text(name, &number.to_string()),
            HeaderValue::Bool(truth) => {
                self.name(name);
                self.text.push_str(if truth { "true" } else { "false" });
            }
        }
    }

    fn close(self) {
        self.text.push('}');
    }
}

/// A JSON string (RFC 8259, section 7): what must be escaped is, and nothing else.
fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in any::<String>()) {
            let mut json = String::new();
            string(&mut json, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_header_is_read_back_as_it_was(name in any::<String>(), int in any::<i64>(), float in any::<f64>(), truth in any::<bool>()) {
            let mut json = String::new();
            let mut object = Object::open(&mut json);
            object.value(&name, HeaderValue::Int(int));
            object.value("float", HeaderValue::Float(float));
            object.value("truth", HeaderValue::Bool(truth));
            object.value("nothing", HeaderValue::Null);
            object.close();
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            if !["float", "truth", "nothing"].contains(&&*name) {
                prop_assert_eq!(read[&name].as_i64(), Some(int));
            }
            if float.is_finite() {
                // The parser's own floats are off by a digit.
                let read: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(read["float"].get().parse(), Ok(float));
            } else {
                prop_assert!(read["float"].is_string());
            }
            prop_assert_eq!(read["truth"].as_bool(), Some(truth));
            prop_assert!(read.get("nothing").is_none());
        }
    }

    #[test]
    fn a_request_is_cut_where_it_would_be_too_long() {
        let sheet = Sheet { text: "aaabbbcc".into(), ends: vec![3, 6, 8] };
        assert_eq!(sheet.request(&(0..3)), "[aaa,bbb,cc]");
        assert_eq!(sheet.request(&(1..2)), "[bbb]");
        for (bytes_max, due) in [(0, 1), (5, 1), (8, 1), (9, 2), (11, 2), (12, 3), (100, 3)] {
            assert_eq!(sheet.fitting(&(0..3), bytes_max), due, "{bytes_max}");
            assert!(due == 1 || sheet.request(&(0..due)).len() <= bytes_max);
        }
        assert_eq!(sheet.fitting(&(1..3), 8), 2);
    }
}
