//! Dead letters in the words of others: the headers of Kafka Connect and of Spring, for tools that read those
//! (`dead_letter: { headers: connect }`). Rialto's own stand beside them: `redrive` reads those.
//!
//! Connect's are `__connect.errors.*` with text in each (`org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter`). Spring's are
//! `kafka_dlt-*`, of which the partition is an `int` and the offset and the time are `long`, most significant byte first
//! (`org.springframework.kafka.listener.DeadLetterPublishingRecoverer`). There is no exception, so its class is `rialto.` and the reason,
//! and its stack trace is one line.

use crate::{
    broker::Outgoing,
    written::{Node, Problems},
};

/// `headers` of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Style {
    /// `rialto-dead-*` alone.
    #[default]
    Rialto,
    /// Beside them Kafka Connect's.
    Connect,
    /// Beside them Spring's.
    Spring,
}

const STYLES: [(&str, Style); 3] = [("rialto", Style::Rialto), ("connect", Style::Connect), ("spring", Style::Spring)];

impl Style {
    /// Reads `headers` where it is a word: a map is the headers that a destination sets.
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Self {
        if node.peek("headers").and_then(Node::text).is_none() {
            return Self::default();
        }
        node.choice("headers", &STYLES, faults).unwrap_or_default()
    }

    /// Adds the headers of a dead letter; none to any other message.
    pub(super) fn push(self, outgoing: &Outgoing<'_>, mut push: impl FnMut(&str, &[u8])) {
        let Some(death) = Death::of(outgoing) else { return };
        match self {
            Self::Rialto => {}
            Self::Connect => death.connect(outgoing, &mut push),
            Self::Spring => death.spring(outgoing, &mut push),
        }
    }
}

/// True for a dead letter: the message as it came.
pub(super) fn is_dead(outgoing: &Outgoing<'_>) -> bool {
    Death::of(outgoing).is_some()
}

/// What `rialto-dead-*` says.
struct Death<'a> {
    reason: &'a str,
    error: &'a str,
    route: &'a str,
}

impl<'a> Death<'a> {
    fn of(outgoing: &Outgoing<'a>) -> Option<Self> {
        let said = |name: &str| outgoing.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        Some(Self {
            reason: said("rialto-dead-reason")?,
            error: said("rialto-dead-error").unwrap_or_default(),
            route: said("rialto-dead-route").unwrap_or_default(),
        })
    }

    fn class(&self) -> String {
        format!("rialto.{}", self.reason)
    }

    fn trace(&self) -> String {
        format!("{}: {}", self.class(), self.error)
    }

    fn connect(&self, outgoing: &Outgoing<'_>, push: &mut impl FnMut(&str, &[u8])) {
        let carrier = &outgoing.message.raw().carrier;
        for word in ["topic", "partition", "offset"] {
            if let Some(value) = carrier.word(word) {
                push(&format!("__connect.errors.{word}"), value.as_bytes());
            }
        }
        push("__connect.errors.connector.name", self.route.as_bytes());
        push("__connect.errors.task.id", b"0");
        push("__connect.errors.stage", self.stage().as_bytes());
        push("__connect.errors.class.name", b"rialto");
        push("__connect.errors.exception.class.name", self.class().as_bytes());
        push("__connect.errors.exception.message", self.error.as_bytes());
        push("__connect.errors.exception.stacktrace", self.trace().as_bytes());
    }

    /// The nearest of `org.apache.kafka.connect.runtime.errors.Stage`.
    fn stage(&self) -> &'static str {
        match self.reason {
            "undecodable" | "oversize" | "schema" => "VALUE_CONVERTER",
            "transform" | "address" | "unrouted" => "TRANSFORMATION",
            _ => "TASK_PUT",
        }
    }

    fn spring(&self, outgoing: &Outgoing<'_>, push: &mut impl FnMut(&str, &[u8])) {
        let carrier = &outgoing.message.raw().carrier;
        if let Some(topic) = carrier.word("topic") {
            push("kafka_dlt-original-topic", topic.as_bytes());
        }
        if let Some(partition) = carrier.word("partition").and_then(|text| text.parse::<i32>().ok()) {
            push("kafka_dlt-original-partition", &partition.to_be_bytes());
        }
        if let Some(offset) = carrier.word("offset").and_then(|text| text.parse::<i64>().ok()) {
            push("kafka_dlt-original-offset", &offset.to_be_bytes());
        }
        if let Some(time) = outgoing.message.time_ms() {
            push("kafka_dlt-original-timestamp", &time.to_be_bytes());
            push("kafka_dlt-original-timestamp-type", b"CreateTime");
        }
        if let Some(group) = carrier.word("group") {
            push("kafka_dlt-original-consumer-group", group.as_bytes());
        }
        push("kafka_dlt-exception-fqcn", self.class().as_bytes());
        push("kafka_dlt-exception-message", self.error.as_bytes());
        push("kafka_dlt-exception-stacktrace", self.trace().as_bytes());
    }
}
