//! When the certificates end that the links to a broker stand on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::metrics::{family::Family, gauge::Gauge};

use super::families::{Families, Labels};

/// Names of servers that are remembered. A cluster has as many as nodes.
const SERVERS_MAX: usize = 256;

/// What the links to one broker saw of certificates. Of each server, and of ourselves, the latest counts; the broker's gauge is the
/// soonest of them.
#[derive(Debug, Clone)]
pub struct CertificateMetrics(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    labels: Labels<1>,
    family: Family<Labels<1>, Gauge>,
    /// By the server's name; the empty one is our own.
    ends: Mutex<BTreeMap<Box<str>, i64>>,
}

impl CertificateMetrics {
    pub(super) fn new(families: &Families, broker: &Arc<str>) -> Self {
        let (labels, family) = ([("broker", broker.clone())], families.certificate_expiry.clone());
        Self(Arc::new(Seen { labels, family, ends: Mutex::default() }))
    }

    /// The certificate that the server `name` showed ends at `unix_seconds`.
    pub fn server(&self, name: &str, unix_seconds: i64) {
        self.ends(name, unix_seconds);
    }

    /// The certificate that we show ends at `unix_seconds`.
    pub fn own(&self, unix_seconds: i64) {
        self.ends("", unix_seconds);
    }

    fn ends(&self, of: &str, at: i64) {
        let mut ends = self.0.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.insert(of.into(), at);
        if ends.len() > SERVERS_MAX {
            // The one that matters last.
            let latest = ends.iter().max_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            latest.and_then(|name| ends.remove(&name));
        }
        if let Some(soonest) = ends.values().min() {
            // Set under the lock, so that two links at once leave the soonest of both.
            self.0.family.get_or_create(&self.0.labels).set(*soonest);
        }
    }
}
