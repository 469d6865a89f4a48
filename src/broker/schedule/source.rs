//! One incarnation of a clock.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{clockwork::Clockwork, origin::ScheduleOrigin, payload::Tick};
use crate::{
    broker::{Ended, House, Source, SourceError, untold::alongside},
    envelope::RawMessage,
    intake::{Intake, Offers},
};

/// Timers are monotonic, and the wall clock may be set meanwhile: it is looked at again after so long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A clock that ticks.
#[derive(Debug)]
pub(super) struct Ticking {
    origin: ScheduleOrigin,
    clockwork: Clockwork,
    name: Arc<str>,
    instance: Arc<str>,
}

impl Ticking {
    pub(super) fn new(origin: ScheduleOrigin, house: &House) -> Self {
        let clockwork = Clockwork::new(origin.calendar.clone(), wall_ms());
        Self { origin, clockwork, name: Arc::clone(&house.name), instance: Arc::clone(&house.instance) }
    }

    async fn tick(mut self, mut offers: Offers, intake: &Intake) -> Result<(), SourceError> {
        loop {
            let wait = self.clockwork.due_in(wall_ms()).unwrap_or(LOOK_EVERY);
            if !wait.is_zero() {
                tokio::select! {
                    () = intake.closed() => return Ok(()),
                    () = tokio::time::sleep(wait.min(LOOK_EVERY)) => continue,
                }
            }
            // The room first: while the window is full, ticks are missed and not gathered.
            let Ok(room) = offers.room().await else { return Ok(()) };
            if let Some(time) = self.clockwork.take(wall_ms()) {
                room.offer(vec![self.message(time)]);
            }
        }
    }

    fn message(&self, time: i64) -> RawMessage {
        let tick = Tick { time, name: &self.name, instance: &self.instance, source: &self.origin.source };
        RawMessage { body: Bytes::from(self.origin.payload.render(&tick)), carrier: self.origin.carrier(time) }
    }
}

#[async_trait]
impl Source for Ticking {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (offers, receipts) = intake.open();
        alongside((*self).tick(offers, &intake), receipts).await
    }
}

/// A clock before 1970 is at its beginning.
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
