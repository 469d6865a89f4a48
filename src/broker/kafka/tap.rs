//! Reading what a topic receives without taking it from anybody: no group, from the end, nothing committed.

use std::sync::Arc;

use super::{
    Kafka,
    origin::{KafkaOrigin, Topics},
    source::Plan,
};
use crate::broker::Target;

/// What watches a target.
pub(super) fn of(target: &Target, broker: &Arc<Kafka>) -> Result<KafkaOrigin, String> {
    let text = target.address.text.as_str();
    if text.contains(['{', '}']) {
        return Err(format!("`{text}` stands for many topics: name one (`rialto tap broker/topic`)"));
    }
    let topics = Topics::Named(vec![text.into()]);
    Ok(KafkaOrigin::new(broker, Plan { tail: true, ..Plan::of(topics) }))
}
