//! Reads what a queue receives and takes it from nobody: by peeking, which locks nothing and counts nothing.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;

use super::{
    ServiceBus,
    amqp::{self, Place},
};
use crate::broker::{House, OpenError, Origin, Source, Target};

/// A queue, looked at.
#[derive(Debug)]
struct Tap {
    broker: Arc<ServiceBus>,
    place: Place,
    address: String,
}

/// Only a queue of a fixed name can be tapped.
pub(super) fn of(broker: &Arc<ServiceBus>, target: &Target) -> Result<Arc<dyn Origin>, String> {
    let queue = target.address.text.as_str();
    if queue.contains(['{', '}']) {
        return Err(format!("the name `{queue}` depends on the message: tap one that is written out"));
    }
    let place = Place { path: queue.into(), queue: Some(queue.into()), topic: None };
    let address = format!("{}/{queue}", broker.name);
    Ok(Arc::new(Tap { broker: Arc::clone(broker), place, address }))
}

#[async_trait]
impl Origin for Tap {
    fn display(&self) -> String {
        self.address.clone()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        false
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        amqp::peek(&self.broker.name, &self.broker.settings, self.place.clone(), house).await
    }

    fn inlet(&self) -> Option<Target> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
