//! What a process lends to its brokers.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{listen::Listeners, live::hub::Hub, report::Reports, telemetry::Metrics};

/// What a process lends to its brokers.
#[derive(Debug, Clone)]
pub struct House {
    /// `name` of the configuration: consumer groups, client names.
    pub name: Arc<str>,
    /// `instance`: this process (Redis consumer name, AMQP connection name).
    pub instance: Arc<str>,
    /// Where brokers report what only they can see.
    pub metrics: Arc<Metrics>,
    /// The sockets that are bound once and kept over reloads.
    pub listeners: Listeners,
    /// The topic space of this process.
    pub hub: Hub,
    /// Who is told what a person should look at.
    pub reports: Reports,
}

impl House {
    /// A house with nobody in it: no listener bound, an empty hub.
    pub fn new(name: Arc<str>, instance: Arc<str>, metrics: Arc<Metrics>) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let hub = Hub::new(u64::try_from(epoch).unwrap_or(u64::MAX));
        Self { name, instance, metrics, listeners: Listeners::default(), hub, reports: Reports::default() }
    }
}
