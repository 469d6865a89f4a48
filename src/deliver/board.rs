//! What the lanes of a pipeline show to those who watch it.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use crate::route::LaneId;

/// Written by the link workers, read by the pipeline (to pause its source) and by whoever looks for stalled routes.
#[derive(Debug)]
pub struct Board {
    start: Instant,
    lanes: Vec<Showing>,
}

#[derive(Debug)]
struct Showing {
    paused: AtomicBool,
    parked: AtomicU64,
    /// Milliseconds from `start` to the last end of an entry.
    progress: AtomicU64,
}

impl Board {
    /// A board for lanes `0..lanes`.
    pub fn new(lanes: usize, now: Instant) -> Self {
        let showing = || Showing { paused: AtomicBool::new(false), parked: AtomicU64::new(0), progress: AtomicU64::new(0) };
        Self { start: now, lanes: (0..lanes).map(|_| showing()).collect() }
    }

    /// True while the lane sends nothing but probes.
    pub fn paused(&self, lane: LaneId) -> bool {
        self.lanes[lane.0 as usize].paused.load(Ordering::Relaxed)
    }

    /// Entries of the lane that wait for a retry.
    pub fn parked(&self, lane: LaneId) -> u64 {
        self.lanes[lane.0 as usize].parked.load(Ordering::Relaxed)
    }

    /// Time since an entry of the lane ended, in milliseconds.
    pub fn idle_ms(&self, lane: LaneId, now: Instant) -> u64 {
        self.millis(now).saturating_sub(self.lanes[lane.0 as usize].progress.load(Ordering::Relaxed))
    }

    pub(super) fn set_paused(&self, lane: LaneId, paused: bool) {
        self.lanes[lane.0 as usize].paused.store(paused, Ordering::Relaxed);
    }

    pub(super) fn set_parked(&self, lane: LaneId, parked: usize) {
        self.lanes[lane.0 as usize].parked.store(parked as u64, Ordering::Relaxed);
    }

    /// An entry ended, or the lane has nothing to do: it is not stalled.
    pub fn progressed(&self, lane: LaneId, now: Instant) {
        self.lanes[lane.0 as usize].progress.store(self.millis(now), Ordering::Relaxed);
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }
}
