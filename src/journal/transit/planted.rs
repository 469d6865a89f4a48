//! A bug on purpose, in no release: the crash test must see it (`tests/run teeth`).

use std::sync::LazyLock;

use crate::{journal::Batch, outcome::Verdict};

/// `RIALTO_PLANT=early_ack`: the source is told before any destination has the message.
static EARLY_ACK: LazyLock<bool> = LazyLock::new(|| std::env::var_os("RIALTO_PLANT").is_some_and(|plant| plant == "early_ack"));

pub(super) fn early_ack(batch: &Batch) {
    if *EARLY_ACK {
        for message in 0..batch.ticket().len() {
            batch.ticket().settle(message as u32, Verdict::Accepted);
        }
    }
}
