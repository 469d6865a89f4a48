//! Service Bus over AMQP, against the stand-in of `tests/service_bus`.

use std::{sync::Arc, time::Duration};

use rialto::broker::{Broker, service_bus::KIND};
use tokio::time::{Instant, sleep};

use super::stand_in::StandIn;
use crate::support::{self, PATIENCE};

mod faults;
mod publishing;
mod reading;
mod sessions;
mod watching;

fn broker(stand_in: &StandIn) -> Arc<dyn Broker> {
    support::broker(&KIND, &stand_in.settings())
}

/// Bodies `0`, `1`, …
fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let until = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < until, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
