//! What `explain` says of Service Bus: transports, locks, sessions, duplicates.

use super::{
    ServiceBus,
    origin::BusOrigin,
    settings::{Settings, Transport},
    target::Options,
};
use crate::broker::{Described, Remark, Target};

/// All that there is to say of one end.
pub(super) fn of(bus: &ServiceBus, end: &Described<'_>) -> Vec<Remark> {
    match end {
        Described::Origin(origin) => origin.as_any().downcast_ref::<BusOrigin>().map(of_source).unwrap_or_default(),
        Described::Target(target) => of_target(&bus.settings, target),
        Described::DeadLetter(_) => Vec::new(),
    }
}

fn of_source(origin: &BusOrigin) -> Vec<Remark> {
    let (held, order, replicas) = match origin.sessions {
        None => (
            "each message under a lock of its own, renewed at half of its time and every 20 s at the latest until the message is \
             settled; then it is completed on the link that received it. What lost its lock all the same is not completed, and comes \
             again.",
            "Service Bus keeps none where several read, or where a message comes again: sessions do (`sessions: true`).".to_owned(),
            "they compete for the messages.",
        ),
        Some(most) => (
            "each session under a lock, renewed while it is read; its messages are completed on the link that received them. A session \
             whose lock is lost ends alone, and what was not settled of it comes again.",
            format!(
                "up to {most} sessions are read side by side, each in its own order, with its id as the key and its share of the \
                 window; one that brings nothing for 3 s is given back for the next."
            ),
            "a session has one reader at a time.",
        ),
    };
    let mut all = vec![
        Remark::new("how it is read", format!("over AMQP 1.0, whatever `transport` says of publishing; {held}")),
        Remark::new("order", order),
        Remark::new("with N replicas", replicas),
        Remark::new("when the process is killed", "they come when their locks end, and each has then counted one delivery."),
        Remark::new(
            "in a long outage",
            "after 60 s with every required destination paused the link is closed once, until one is back: each message that was held \
             counts one delivery for it.",
        ),
    ];
    if !origin.is_dead_letters() {
        all.push(Remark::new(
            "what is buried there",
            "what was delivered `MaxDeliveryCount` times, by Service Bus itself; and whatever is configured, what has a body that is \
             neither bytes nor text: anywhere else its body would be lost.",
        ));
    }
    all
}

fn of_target(settings: &Settings, target: &Target) -> Vec<Remark> {
    let most = bytesize::ByteSize::b(settings.batch_bytes as u64).to_string().replace(".0 ", " ");
    let (travels, refused) = match settings.transport() {
        Transport::Https => (
            format!(
                "in HTTPS requests, each a batch of up to {most} (`batch_bytes`), one after the other to one queue or topic so that \
                 nothing is overtaken; a body that is no UTF-8 as base64, with the property `rialto-encoding`."
            ),
            "400, 413 and their like put the message at fault, which is found by halving the batch and is a dead letter at once; 401, \
             403, 404 and a busy service pause the lane; a request without an answer is unknown and goes again.",
        ),
        Transport::Amqp => (
            format!(
                "by AMQP 1.0: neighbours with one session and partition key in one transfer of up to {most} (`batch_bytes`) or what the \
                 link takes, and transfers follow each other without waiting; bytes as they are."
            ),
            "a message that is too large or malformed is a dead letter at once; a missing entity, a missing claim, a full quota and a busy \
             service pause the lane; a transfer without a disposition is unknown and goes again.",
        ),
    };
    let set = Options::of(target).copied().unwrap_or_default();
    let key = if set.sets_session() {
        "`session_id` says the session, where it says anything; the ordering key is the `PartitionKey` of what has none. Both have \
         at most 128 characters: a longer session is refused, a longer key is replaced by its UUID."
    } else {
        "the ordering key is the `PartitionKey`; over 128 characters it is replaced by its UUID. A queue that requires sessions \
         refuses what has none (`session_id`)."
    };
    let mut all = vec![
        Remark::new("how it travels", travels),
        Remark::new(
            "what may be there twice",
            "what was sent again after an unknown answer, under the same `MessageId`; a queue or topic that detects duplicates, which \
             is chosen when it is made, keeps one.",
        ),
        Remark::new("session and key", key),
        Remark::new("what is refused", refused),
    ];
    if set.schedules() {
        all.push(Remark::new(
            "when it can be read there",
            "at the time that `scheduled_at` says; it counts as delivered when Service Bus has it, and a text that is no time is a \
             dead letter.",
        ));
    }
    all
}
