//! What time alone changes: deadlines pass, sources withdraw, and the gauges show how it stands.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    item::Item,
    policy::{Event, Step, next_step},
    worker::LinkWorker,
};
use crate::{
    outcome::{End, Reason},
    route::{DeliveryRules, LaneId},
};

/// Between two looks.
pub(super) const TICK: Duration = Duration::from_millis(500);

impl LinkWorker {
    /// Ends what its deadline or its source has given up, and shows the rest.
    pub(super) fn tick(&mut self, now: Instant) {
        for item in self.condemned(now) {
            if item.entry.withdrawn() {
                self.backlog.settle(&item.entry, End::Withdrawn);
            } else {
                self.dead(item, Reason::Deadline, now);
            }
        }
        let ids: Vec<_> = self.lanes.keys().copied().collect();
        for id in ids {
            // An open breaker asks its question with what is parked, where nothing else waits.
            let lane = &self.lanes[&id];
            if lane.flying == 0 && lane.breaker.probe_at().is_some_and(|at| at <= now) {
                self.parked.wake(now, |waiting| waiting == id);
            }
            self.show(id, now);
        }
    }

    /// Takes out what waits in vain. Of a paused lane one withdrawn item is kept: it asks whether the destination is back, so that
    /// the source need not be opened to find out.
    fn condemned(&mut self, now: Instant) -> Vec<Item> {
        let mut condemned = Vec::new();
        let mut unasked = HashSet::new();
        for (id, lane) in &mut self.lanes {
            let spec = std::sync::Arc::clone(&lane.spec);
            condemned.extend(lane.take_condemned(|item| expired(item, &spec.rules, now)));
            if lane.is_paused() && lane.resend.is_empty() && lane.flying == 0 {
                unasked.insert(*id);
            }
        }
        if !self.parked.is_empty() {
            let lanes = &self.lanes;
            condemned.extend(self.parked.take_condemned(|item| {
                let id = item.entry.lane();
                expired(item, &lanes[&id].spec.rules, now) || (item.entry.withdrawn() && !unasked.remove(&id))
            }));
        }
        condemned
    }

    fn show(&mut self, id: LaneId, now: Instant) {
        let lane = &self.lanes[&id];
        let pending = self.backlog.pending(id);
        let parked = self.parked.waiting(id);
        lane.metrics.parked(parked as u64);
        self.board.set_parked(id, parked);
        // A paused lane that has nothing left to ask with needs its source to find out.
        self.board.set_paused(id, !self.line.is_well() || (lane.is_paused() && pending > 0));
        let waiting = lane.resend.values().chain(self.parked.iter().filter(|item| item.entry.lane() == id));
        let flying =
            self.flights.oldest().into_iter().flat_map(|flight| &flight.parcel.items).filter(|item| item.entry.lane() == id);
        let oldest = waiting.chain(flying).map(|item| item.entry.taken()).min();
        lane.metrics.oldest_seconds(oldest.map_or(0.0, |taken| now.duration_since(taken).as_secs_f64()));
        if pending == 0 {
            self.board.progressed(id, now);
        }
    }
}

fn expired(item: &Item, rules: &DeliveryRules, now: Instant) -> bool {
    rules.deadline.is_some() && matches!(next_step(Event::Tick, &item.trial(rules, false, now), rules, now, 0), Step::DeadLetter(_))
}
