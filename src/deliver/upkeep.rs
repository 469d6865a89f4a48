//! The link's life: opened, lost, asked whether it lives.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    flights::Flight,
    item::Item,
    line::{Line, LineEvent, reopen_after},
    parcel::Parcel,
    tick::TICK,
    worker::LinkWorker,
};
use crate::{
    broker::{OpenError, Publisher},
    outcome::{LinkDown, Outcome, Reason, Refusal},
};

impl LinkWorker {
    /// Does what time asks for.
    pub(super) fn tend(&mut self, now: Instant) {
        if now >= self.tick_at {
            self.tick_at = now + TICK;
            self.tick(now);
        }
        if let Line::Up { publisher, .. } = &self.line
            && publisher.held().is_some()
        {
            self.flights.wait_until(now + TICK);
        }
        let late = match &self.line {
            Line::Sending { deadline, .. } => *deadline <= now,
            _ => false,
        };
        if late || self.flights.deadline().is_some_and(|deadline| deadline <= now) {
            self.link_died(None, &LinkDown::new(Reason::Timeout, "no answer within `timeout`"), now);
        }
        match &self.line {
            Line::Down { retry_at } if *retry_at <= now => self.open_line(),
            Line::Up { .. } if self.flights.is_empty() && self.line.wake_at().is_some_and(|at| at <= now) => {
                if let Line::Up { publisher, .. } = std::mem::replace(&mut self.line, Line::Resting) {
                    self.line = Line::ping(publisher);
                }
            }
            _ => {}
        }
    }

    pub(super) fn line_event(&mut self, event: LineEvent) {
        let now = Instant::now();
        match event {
            LineEvent::Opened(Ok(publisher)) => self.link_opened(publisher, now),
            LineEvent::Opened(Err(error)) => self.link_failed(&error, now),
            LineEvent::Ponged(publisher, Ok(())) => {
                self.said.clear();
                self.line = Line::Up { publisher, heard: now };
            }
            LineEvent::Ponged(_, Err(down)) => self.link_died(None, &down, now),
            LineEvent::Sent(sent) => {
                self.rendered = sent.rendered;
                match sent.result {
                    Ok(confirms) => {
                        let timed_each = sent.publisher.times_each();
                        let was = std::mem::replace(&mut self.line, Line::Up { publisher: sent.publisher, heard: now });
                        if let Line::Sending { future, parcel, sent, deadline } = was {
                            // It holds the parcel, too: the flight must be its only owner.
                            drop(future);
                            self.flights.push(Flight { parcel, confirms, sent, deadline, timed_each });
                        }
                    }
                    Err(down) => self.link_died(None, &down, now),
                }
            }
        }
    }

    fn link_opened(&mut self, publisher: Box<dyn Publisher>, now: Instant) {
        if self.attempts > 0 && self.flaps < 2 {
            info!(broker = %self.key.broker, link = %self.key.part, attempts = self.attempts, "connected again");
        }
        self.attempts = 0;
        self.metrics.up(true);
        self.line = Line::Up { publisher, heard: now };
        for (id, lane) in &self.lanes {
            if !lane.is_paused() {
                lane.metrics.paused(None);
                self.board.set_paused(*id, false);
            }
        }
        // Links have their own back-off; one that returns wakes the tries that waited for it.
        self.parked.wake(now, |_| true);
    }

    fn link_failed(&mut self, error: &OpenError, now: Instant) {
        if self.said.insert(error.reason) {
            warn!(broker = %self.key.broker, link = %self.key.part, reason = %error.reason, error = %error.detail, "cannot connect; trying again");
        }
        self.line_down(error.reason, None, now);
    }

    fn line_down(&mut self, reason: Reason, after: Option<Duration>, now: Instant) {
        let wait = reopen_after(self.attempts, fastrand::u64(..)).max(after.unwrap_or_default());
        self.attempts = self.attempts.saturating_add(1);
        self.metrics.up(false);
        self.line = Line::Down { retry_at: now + wait };
        for (id, lane) in &self.lanes {
            lane.metrics.paused(Some(reason));
            self.board.set_paused(*id, true);
        }
    }

    /// The link is gone. Everything in flight, from the oldest unanswered parcel on, is unknown: it goes again, in the old order,
    /// before anything new, and nobody is charged a try.
    pub(super) fn link_died(&mut self, first: Option<Flight>, down: &LinkDown, now: Instant) {
        let mut parcels = self.flights.take_down(first);
        // Replacing the line drops the link, whose socket is closed before a new one opens.
        if let Line::Sending { future, parcel, .. } = std::mem::replace(&mut self.line, Line::Resting) {
            drop(future);
            parcels.push(parcel);
        }
        let of_link = is_of_link(down.reason);
        self.flaps = if of_link { self.flaps.saturating_add(1) } else { 0 };
        if self.said.insert(down.reason) {
            warn!(
                broker = %self.key.broker, link = %self.key.part, reason = %down.reason, error = %down.detail,
                unanswered = parcels.iter().map(|parcel| parcel.items.len()).sum::<usize>(), "link lost; reopening"
            );
        }
        self.metrics.reconnected();
        // One that opens only to be closed is no better than one that does not open.
        self.attempts = self.flaps.saturating_sub(1);
        self.line_down(down.reason, down.after, now);
        if self.flaps > 1 {
            let concerned: BTreeSet<_> = parcels.iter().flat_map(|parcel| &parcel.items).map(|item| item.entry.lane()).collect();
            for lane in concerned {
                // It may be opened: what was on it asks whether it may be used, one message at a time.
                self.pause_lane(lane, now, down.reason, &down.detail);
            }
        }
        let guilty = parcels.first().and_then(|parcel| parcel.items.first()).map(Item::position);
        let guilty = guilty.filter(|oldest| !of_link && self.suspect.died(*oldest));
        for parcel in parcels {
            // The sole owner by now; were it not, its tickets would say "not delivered", and nothing would be lost.
            let Some(parcel) = Arc::into_inner(parcel) else { continue };
            self.back_to_lanes(parcel, now);
        }
        if let Some(position) = guilty {
            self.convict(position, down, now);
        }
    }

    /// Items of a link that is no more go back to where they wait.
    pub(super) fn back_to_lanes(&mut self, parcel: Parcel, now: Instant) {
        for item in parcel.items {
            let Some(lane) = self.lanes.get_mut(&item.entry.lane()) else { continue };
            lane.flying = lane.flying.saturating_sub(1);
            if !self.parked.is_empty() {
                let key = self.parked.id(&item, &lane.spec.rules);
                if self.parked.holds(key) {
                    self.parked.grounded(key, item, now);
                    continue;
                }
            }
            lane.resend.insert(item.position(), item);
        }
    }

    /// The message that was alone in flight in the last deaths of the link: refused, which counts.
    fn convict(&mut self, position: crate::journal::Position, down: &LinkDown, now: Instant) {
        let Some(item) = self.lanes.values_mut().find_map(|lane| lane.resend.remove(&position)) else { return };
        let outcome = Outcome::Refused(Refusal { reason: Reason::KillsLink, detail: down.detail.clone() });
        self.judge(item, &outcome, now);
    }
}

/// Whether such an end says something of the link, its certificates, user and rights, and nothing of what was on it.
fn is_of_link(reason: Reason) -> bool {
    use Reason::{Dns, Forbidden, Throttled, Tls, Unauthenticated, Unroutable};
    matches!(reason, Dns | Forbidden | Throttled | Tls | Unauthenticated | Unroutable)
}
