//! What the links to a broker count.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::families::{Families, Labels};

/// What one link (or source) counts of its broker. Clones speak for the same link; when the last is dropped, the link has no say
/// any more.
#[derive(Debug, Clone)]
pub struct BrokerMetrics(Arc<Link>);

#[derive(Debug)]
struct Link {
    broker: Arc<BrokerLinks>,
    said: Mutex<Option<bool>>,
}

/// A broker and what its links say of it.
#[derive(Debug)]
pub(super) struct BrokerLinks {
    labels: Labels<1>,
    family: Family<Labels<1>, Gauge>,
    reconnects: Counter,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    up: usize,
    down: usize,
    spoken: bool,
}

impl BrokerMetrics {
    pub(super) fn new(broker: Arc<BrokerLinks>) -> Self {
        Self(Arc::new(Link { broker, said: Mutex::default() }))
    }

    /// The link is up, or it is not. To be said before the first try to open it too: a link that never spoke does not count, so
    /// that one which opens at first use is not missed.
    pub fn up(&self, up: bool) {
        self.0.say(Some(up));
    }

    /// The link was opened again after it was lost.
    pub fn reconnected(&self) {
        self.0.broker.reconnects.inc();
    }
}

impl Link {
    fn say(&self, says: Option<bool>) {
        let was = std::mem::replace(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner), says);
        self.broker.change(was, says);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.say(None);
    }
}

impl BrokerLinks {
    pub(super) fn new(families: &Families, name: &Arc<str>) -> Self {
        let labels = [("broker", name.clone())];
        Self {
            reconnects: families.broker_reconnects.get_or_create_owned(&labels),
            family: families.broker_up.clone(),
            labels,
            tally: Mutex::default(),
        }
    }

    /// Whether every link that speaks is up; `None` while none ever spoke.
    pub(super) fn up(&self) -> Option<bool> {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.spoken.then_some(tally.is_up())
    }

    fn change(&self, was: Option<bool>, says: Option<bool>) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match was {
            Some(true) => tally.up -= 1,
            Some(false) => tally.down -= 1,
            None => {}
        }
        match says {
            Some(true) => tally.up += 1,
            Some(false) => tally.down += 1,
            None => {}
        }
        tally.spoken |= says.is_some();
        if tally.spoken {
            // Set under the lock, so that two links that change at once leave the gauge as the later of them saw it.
            self.family.get_or_create(&self.labels).set(i64::from(tally.is_up()));
        }
    }
}

impl Tally {
    fn is_up(&self) -> bool {
        self.down == 0 && self.up > 0
    }
}
