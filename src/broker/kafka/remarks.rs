//! What `explain` says of Kafka's ends: groups, partitions, commits, keys.

use std::fmt::Write as _;

use super::{
    letter::Style,
    origin::{Beginning, KafkaOrigin, Protocol, Tombstone},
    source::Plan,
    target::Options,
};
use crate::broker::{Described, Remark, Target};

/// All that there is to say of one end.
pub(super) fn of(end: &Described<'_>) -> Vec<Remark> {
    match end {
        Described::Origin(origin) => {
            let origin = origin.as_any().downcast_ref::<KafkaOrigin>();
            origin.map(|origin| of_source(&origin.plan)).unwrap_or_default()
        }
        Described::Target(target) => of_target(target),
        Described::DeadLetter(target) => dead_letter(target).into_iter().collect(),
    }
}

fn of_source(plan: &Plan) -> Vec<Remark> {
    let mut all = vec![
        Remark::new("in which group", group(plan)),
        Remark::new("what the group is told", told(plan)),
        Remark::new("order", "a partition is the order that Kafka has: between two of them there is none."),
        Remark::new("with N replicas", replicas(plan)),
        Remark::new("which topics", topics(plan)),
        Remark::new("a record without a value", tombstone(plan)),
    ];
    if let Some(prefix) = plan.schema_prefix {
        all.push(Remark::new(
            "in front of a value",
            format!(
                "a zero and the {} bytes of a schema's id ({}) are taken off where they are there, and the id becomes a header; no \
                 registry is asked.",
                prefix.len() - 1,
                prefix.name()
            ),
        ));
    }
    if plan.relay.is_none() {
        all.push(Remark::new(
            "when the process is killed",
            "that is of each partition, and what settled behind a message that had not comes again, too.",
        ));
    }
    all
}

fn group(plan: &Plan) -> String {
    let name = plan.group.as_ref().map_or_else(|| "the bridge's name".to_owned(), |group| format!("`{group}`"));
    let begins = match plan.start {
        Beginning::Earliest => "its oldest record",
        Beginning::Latest => "the next record that comes (`start: latest`), or, where it is made while this runs, with its first",
    };
    format!(
        "{name}; a partition that the group never committed begins with {begins}, and that place is committed before anything is \
         read. A position that is gone, by retention or a topic made anew, closes the source until somebody decides: nothing is \
         skipped in silence."
    )
}

fn told(plan: &Plan) -> String {
    if plan.relay.is_some() {
        return "nothing by the reader: positions are committed by the transactions that hold the copies.".to_owned();
    }
    "for each partition the highest offset below which all is settled, every 500 ms, when three quarters of a window have settled, and \
     before a partition is given back; what settles behind a message that is still tried waits for it."
        .to_owned()
}

fn replicas(plan: &Plan) -> String {
    let mut text =
        "partitions are shared out, each to one member of the group: no more replicas work than there are partitions, and \
                    the others stand by. "
            .to_owned();
    match plan.protocol {
        Protocol::Classic => {
            let session = humantime::format_duration(plan.session_timeout);
            _ = write!(
                text,
                "A member is known by its `instance`, which no other may have: back within {session} (`session_timeout`) it has its \
                 partitions again, and one that is gone for good is missed only then."
            );
        }
        Protocol::Consumer => {
            text += "A member is known by its `instance`, which no other may have; the broker's coordinator shares out and says when a \
                     member is gone (`protocol: consumer`).";
        }
    }
    text
}

fn topics(plan: &Plan) -> String {
    if !plan.topics.is_pattern() {
        return "they are never made: while one is missing, the source stays closed and says so.".to_owned();
    }
    let except = if plan.topics.excludes() { ", without those that `topics_exclude` means" } else { "" };
    format!(
        "all whose whole name the pattern takes{except}, and never those that Kafka keeps for itself (`__…`); one that is made later \
         is read within about 10 s, from its beginning."
    )
}

fn tombstone(plan: &Plan) -> &'static str {
    match plan.tombstone {
        Tombstone::Forward => {
            "is a message whose payload is `null`; where that leaves for Kafka as it came, it has no value again."
        }
        Tombstone::Skip => "is passed over and committed (`tombstone: skip`).",
        Tombstone::DeadLetter => "is a bad message (`tombstone: dead_letter`).",
    }
}

fn of_target(target: &Target) -> Vec<Remark> {
    let mut all = vec![
        Remark::new(
            "what Kafka confirms",
            "a report of an idempotent producer with `acks=all`: as many copies as `min.insync.replicas` says. Its own retries write \
             nothing twice and keep the order; what a lost link leaves unknown is sent again, with the same id, and under `exactly_once` \
             only after its transaction was aborted.",
        ),
        Remark::new(
            "which partition",
            "the one that the ordering key says, as Kafka's Java client counts it (murmur2); a message without a key goes to any, and \
             keeps no order.",
        ),
        Remark::new(
            "a topic that is missing",
            "is never made, also where the cluster would make it: the lane waits until somebody does, or the try counts where the name \
             has a value in it.",
        ),
    ];
    if let Some(prefix) = Options::of(target).and_then(|options| options.prefix) {
        let written = target.fields.iter().any(|field| field.name == "schema_id");
        let id = if written { "that `schema_id` says" } else { "that the message came with" };
        all.push(Remark::new(
            "in front of each value",
            format!(
                "a zero and {} bytes with the id of a schema ({}), the one {id}; a message for which there is none is a dead letter, and \
                 no registry is asked.",
                prefix.len() - 1,
                prefix.name()
            ),
        ));
    }
    all
}

fn dead_letter(target: &Target) -> Option<Remark> {
    let whose = match Options::of(target)?.style {
        Style::Rialto => return None,
        Style::Connect => "Kafka Connect's `__connect.errors.*`",
        Style::Spring => "Spring's `kafka_dlt-*`",
    };
    Some(Remark::new(
        "what a dead letter says",
        format!("why and whence, in the headers `rialto-dead-*` and beside them in {whose}; its key and value are as they came."),
    ))
}
