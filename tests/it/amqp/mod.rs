//! RabbitMQ at both ends, and the traps of its client library.

mod declaring;
mod dialling;
mod publishing;
mod reading;
pub(crate) mod server;
mod traps;
mod wire;

use server::{Rabbit, unique};

/// Bodies `0`, `1`, …
fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}
