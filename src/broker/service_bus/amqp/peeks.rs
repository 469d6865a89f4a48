//! A queue that is looked at, and nothing taken from it.
//!
//! A peek answers what is there at its moment, by sequence number. What comes and is settled between two looks is never seen: a tap is
//! a look at what waits, not a copy of the traffic.

use std::time::Duration;

use async_trait::async_trait;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp_types::{
    messaging::{Body, Message},
    primitives::Value,
};
use tokio::time::sleep;

use super::{
    carrier::{Place, raw_message, sequence_number},
    fault::Fault,
    line::Line,
    management::{Management, node},
};
use crate::{
    broker::{Ended, Source, SourceError, untold::alongside},
    intake::{Intake, Offers},
};

/// Between two looks at a queue with nothing new in it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Messages asked for at once.
const LOOK_MAX: i32 = 100;

/// A queue that is looked at.
pub(super) struct Peeks {
    line: Line,
    management: Management,
    _session: SessionHandle<()>,
    place: Place,
    /// The first sequence number not seen yet.
    from: i64,
}

impl Peeks {
    /// The caller bounds its time.
    pub(super) async fn attach(mut line: Line, place: Place) -> Result<Self, Fault> {
        line.claims.put(&place.path).await?;
        line.claims.put(&node(&place.path)).await?;
        let mut session = line.wire.session().await?;
        let management = Management::attach(&mut session, &place.path).await?;
        let mut peeks = Self { line, management, _session: session, place, from: 0 };
        peeks.pass_over().await?;
        Ok(peeks)
    }

    /// What waits already is not what comes from now on.
    async fn pass_over(&mut self) -> Result<(), Fault> {
        while !self.look().await?.is_empty() {}
        Ok(())
    }

    async fn look(&mut self) -> Result<Vec<Message<Body<Value>>>, Fault> {
        let seen = self.management.peek(self.from, LOOK_MAX).await?;
        let last = seen.iter().filter_map(sequence_number).max();
        self.from = last.map_or(self.from, |last| last.saturating_add(1).max(self.from));
        // Without a number it could only be seen again and again.
        Ok(if last.is_some() { seen } else { Vec::new() })
    }

    async fn read(&mut self, mut offers: Offers, intake: &Intake) -> Result<(), Fault> {
        loop {
            let seen = tokio::select! {
                biased;
                () = intake.closed() => return Ok(()),
                seen = self.look() => seen?,
            };
            let shown = |why: &&str| tracing::warn!(source = %self.place.path, why, "a message that cannot be read is not shown");
            let batch: Vec<_> =
                seen.into_iter().filter_map(|message| raw_message(message, &self.place).inspect_err(shown).ok()).collect();
            if batch.is_empty() {
                tokio::select! {
                    () = intake.closed() => return Ok(()),
                    () = sleep(LOOK_EVERY) => {}
                }
                continue;
            }
            let Ok(room) = offers.room().await else { return Ok(()) };
            room.offer(batch);
        }
    }
}

#[async_trait]
impl Source for Peeks {
    async fn run(mut self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (offers, receipts) = intake.open();
        let reading = Box::pin(async { self.read(offers, &intake).await.map_err(SourceError::from) });
        let ended = alongside(reading, receipts).await?;
        self.line.wire.close().await;
        Ok(ended)
    }
}
