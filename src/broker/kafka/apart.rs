//! Sending in parts, while one record of many is looked for.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{ledger::Ledger, search::Search};
use crate::outcome::LinkDown;

/// Between two looks whether a part is answered.
const LOOK: Duration = Duration::from_millis(1);

/// Parts of one batch, at most: each takes its time, and the batch has only one.
const PARTS_MAX: usize = 32;

/// Who is looked for among the messages of one link.
#[derive(Debug, Default)]
pub(super) struct Apart {
    inner: Mutex<Inner>,
    /// Somebody is looked for: asked for each batch, without a lock.
    busy: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    search: Search,
    /// Refused since the last batch began: not alone, and alone.
    doubtful: usize,
    convicted: usize,
    /// No part of this size has gone yet.
    fresh: bool,
}

/// What may be sent of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// All of it, as it comes.
    Free,
    /// So many together.
    Parts(usize),
    /// None of it: messages before it go again, and whoever sends has not read so yet.
    Nothing,
}

impl Apart {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a refused message is at fault itself. `alone`: nothing else was on its way with it.
    pub(super) fn convicts(&self, alone: bool) -> bool {
        let mut inner = self.inner();
        let convicts = match inner.search.limit() {
            Some(limit) => limit == 1,
            None => alone && inner.doubtful == 0,
        };
        if convicts {
            inner.convicted += 1;
        } else {
            inner.doubtful += 1;
            self.busy.store(true, Ordering::Relaxed);
        }
        convicts
    }

    /// A batch begins. While somebody is looked for nothing else is on its way, which would be blamed for what is sent now.
    pub(super) async fn pace(&self, ledger: &Ledger) -> Result<Pace, LinkDown> {
        if !self.busy.load(Ordering::Relaxed) {
            return Ok(Pace::Free);
        }
        answered(ledger, 0).await?;
        let mut inner = self.inner();
        let (doubtful, convicted) = (std::mem::take(&mut inner.doubtful), std::mem::take(&mut inner.convicted));
        if doubtful > 0 {
            inner.search.narrow(doubtful);
            inner.fresh = true;
            return Ok(Pace::Nothing);
        }
        if !std::mem::take(&mut inner.fresh) && convicted == 0 {
            inner.search.widen();
        }
        let limit = inner.search.limit();
        self.busy.store(limit.is_some(), Ordering::Relaxed);
        Ok(limit.map_or(Pace::Free, Pace::Parts))
    }

    /// Before each message of a batch of `messages`: waits where it begins a part. False where it and all behind it must not go now: one
    /// before it was refused, or there were enough parts.
    pub(super) async fn lets_go(&self, ledger: &Ledger, how: Pace, place: usize, messages: usize) -> Result<bool, LinkDown> {
        let limit = match how {
            Pace::Free => return Ok(true),
            Pace::Nothing => return Ok(false),
            Pace::Parts(limit) if !place.is_multiple_of(limit) => return Ok(true),
            Pace::Parts(limit) => limit,
        };
        // What has no answer then: the messages from here on, and the batch itself.
        answered(ledger, messages - place + 1).await?;
        Ok(place / limit < PARTS_MAX && self.inner().doubtful == 0)
    }
}

/// Waits until no more than so many things are unanswered. The worker bounds the time.
async fn answered(ledger: &Ledger, but: usize) -> Result<(), LinkDown> {
    while ledger.missing() > but {
        sleep(LOOK).await;
        if let Some(down) = ledger.ended() {
            return Err(down);
        }
    }
    Ok(())
}
