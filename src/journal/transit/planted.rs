//! A bug on purpose, in no release: the crash test must see it (`tests/run teeth`).

use std::{sync::LazyLock, time::Duration};

use crate::{intake::Ticket, outcome::Verdict};

/// `RIALTO_PLANT=early_ack`: the source is told before any destination has the message.
static EARLY_ACK: LazyLock<bool> = LazyLock::new(|| std::env::var_os("RIALTO_PLANT").is_some_and(|plant| plant == "early_ack"));

/// What a bridge that acknowledges on receipt gathers before it sends.
const LINGER: Duration = Duration::from_millis(10);

pub(super) async fn early_ack(ticket: &Ticket) {
    if *EARLY_ACK {
        for message in 0..ticket.len() {
            ticket.settle(message as u32, Verdict::Accepted);
        }
        tokio::time::sleep(LINGER).await;
    }
}
