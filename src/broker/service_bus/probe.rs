//! What `check --connect` asks. Nothing is sent to a queue or topic: over HTTPS there is no request that asks whether one is there and
//! changes nothing with the right to send alone.

use std::sync::Arc;

use super::{
    amqp, https,
    settings::{Settings, Transport},
};
use crate::broker::{House, LinkKey, Probe};

/// One sentence per fault.
pub(super) async fn ask(broker: &Arc<str>, settings: &Settings, what: &Probe<'_>, house: &House) -> Vec<String> {
    let key = LinkKey { broker: Arc::clone(broker), part: "".into() };
    match (what, settings.transport()) {
        (Probe::Broker | Probe::Target(_), Transport::Https) => match https::Link::open(settings, &key, house).await {
            Ok(_) => Vec::new(),
            Err(fault) => vec![fault.to_string()],
        },
        (Probe::Broker, Transport::Amqp) => amqp::probe::namespace(broker, settings, house).await,
        (Probe::Target(target), Transport::Amqp) => amqp::probe::target(broker, settings, target, house).await,
        // Whatever is published by, reading is by AMQP.
        (Probe::Origin(origin), _) => amqp::probe::origin(broker, settings, *origin, house).await,
    }
}
