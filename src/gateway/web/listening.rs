//! What both doors do to listen.

use std::collections::VecDeque;

use crate::live::hub::{Delivery, Gap, Seq, Subscriber, TooMuch, Topic};

/// Subscribes to all of them, or to none; with a place, to what came after it, too. Answers the hole where the ring does not reach so
/// far: each topic has the same, or a wider one.
pub(super) fn listen(subscriber: &mut Subscriber, topics: Vec<Topic>, since: Option<Seq>) -> Result<Option<Gap>, TooMuch> {
    let (mut new, mut hole) = (Vec::new(), None::<Gap>);
    for topic in topics {
        if subscriber.topics().contains(&topic) {
            continue;
        }
        if let Err(too_much) = subscriber.has_room_for(&topic) {
            for topic in &new {
                subscriber.unsubscribe(topic);
            }
            return Err(too_much);
        }
        new.push(topic.clone());
        let gap = if let Some(since) = since {
            subscriber.subscribe_since(topic, since)
        } else {
            subscriber.subscribe(topic);
            None
        };
        hole = [hole, gap].into_iter().flatten().max_by_key(|gap| gap.to);
    }
    Ok(hole)
}

/// What waited in the ring comes topic by topic. Everything that waits is taken at once, so that after the first batch order is the
/// hub's own.
pub(super) fn in_order(batch: &mut VecDeque<Delivery>) {
    batch.make_contiguous().sort_by_key(|delivery| delivery.message.seq);
}
