//! What an answer does to its message.

use std::{sync::Arc, time::Instant};

use tracing::{debug, warn};

use super::{
    flights::Flight,
    item::{Item, wall_ms},
    notices,
    parked::KeyId,
    policy::{Event, Step, next_step},
    worker::LinkWorker,
};
use crate::{
    journal::Burial,
    outcome::{End, Outcome, Proof, Reason, Refusal},
    route::{DeadLetterTo, Death, LaneId},
};

impl LinkWorker {
    /// A parcel was answered: one outcome a message, in order.
    pub(super) fn answered(&mut self, flight: Flight, outcomes: Vec<Outcome>) {
        let now = Instant::now();
        let took = now.duration_since(flight.sent).as_secs_f64();
        // The flight is its sole owner; were it not, the tickets would say "not delivered", and nothing would be lost.
        let Some(parcel) = Arc::into_inner(flight.parcel) else { return };
        debug_assert_eq!(parcel.items.len(), outcomes.len(), "one outcome a message");
        self.said.clear();
        if std::mem::take(&mut self.flaps) > 1 {
            tracing::info!(broker = %self.key.broker, link = %self.key.part, "connected again, and answered");
        }
        let wall = wall_ms();
        let mut timed: Option<LaneId> = None;
        // Were outcomes missing, their messages would be unknown.
        let outcomes = outcomes.into_iter().chain(std::iter::repeat(Outcome::Unknown(Reason::Link)));
        for (item, outcome) in parcel.items.into_iter().zip(outcomes) {
            let id = item.entry.lane();
            self.suspect.answered(item.position());
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.flying = lane.flying.saturating_sub(1);
            if timed != Some(id) {
                timed = Some(id);
                lane.metrics.publish_seconds(took);
            }
            if let Outcome::Delivered(_) = outcome {
                if let Some(sent) = item.entry.message().time_ms() {
                    lane.metrics.age_seconds((wall - sent).max(0) as f64 / 1000.0);
                }
                lane.metrics.route_seconds(item.entry.held(now).as_secs_f64());
            }
            self.judge(item, &outcome, now);
        }
    }

    /// Asks the policy and does what it says.
    pub(super) fn judge(&mut self, mut item: Item, outcome: &Outcome, now: Instant) {
        let id = item.entry.lane();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let spec = Arc::clone(&lane.spec);
        let key = (!self.parked.is_empty()).then(|| self.parked.id(&item, &spec.rules));
        if matches!(outcome, Outcome::Delivered(Proof::Receivers(0))) {
            lane.metrics.unheard(1);
        }
        let trial = item.trial(&spec.rules, lane.breaker.is_open(), now);
        match next_step(Event::Answer(outcome), &trial, &spec.rules, now, fastrand::u64(..)) {
            Step::Settle(end) => {
                if lane.delivered(now) {
                    self.lane_well(id, now);
                }
                self.board.progressed(id, now);
                self.backlog.settle(&item.entry, end);
            }
            Step::RetryAt { at, counted, reason } => {
                lane.metrics.try_failed(reason);
                if counted {
                    self.count_failure(&item, reason, now);
                }
                item.failed(counted, reason, detail(outcome));
                let key = key.unwrap_or_else(|| self.parked.id(&item, &spec.rules));
                self.parked.park(key, item, at);
            }
            Step::DeadLetter(reason) => {
                lane.metrics.try_failed(reason);
                self.count_failure(&item, reason, now);
                item.failed(!trial.breaker_open, reason, detail(outcome));
                self.dead(item, reason, now);
            }
            Step::PauseLane { until, reason } => {
                lane.metrics.try_failed(reason);
                item.failed(false, reason, detail(outcome));
                self.pause_lane(id, until, reason, detail(outcome));
                self.line_up(key, item, until);
            }
            Step::Again => self.line_up(key, item, now),
            // An answer never leaves a message waiting as it was.
            Step::Wait => debug_assert!(false, "an answer always decides"),
        }
        if let Some(key) = key {
            self.parked.landed(key, now);
        }
    }

    /// Until then nothing goes there, and then one message at a time, until one is delivered.
    pub(super) fn pause_lane(&mut self, id: LaneId, until: Instant, reason: Reason, detail: &str) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.pause(until, reason) {
            self.house.reports.tell(|_| notices::paused(&lane.spec, reason, detail));
            let (route, destination) = (&lane.spec.route, &lane.spec.destination);
            warn!(%route, %destination, %reason, error = detail, "destination paused; it is asked again until it takes messages");
        }
        self.board.set_paused(id, true);
    }

    /// Puts an item back where it was: before anything new of its lane, or among those of its key that wait, from `at` on.
    fn line_up(&mut self, key: Option<KeyId>, item: Item, at: Instant) {
        match key.filter(|key| self.parked.holds(*key)) {
            Some(key) => self.parked.park(key, item, at),
            None => {
                if let Some(lane) = self.lanes.get_mut(&item.entry.lane()) {
                    lane.resend.insert(item.position(), item);
                }
            }
        }
    }

    /// A failure by the destination's word; enough of them, over enough keys, are the destination's fault.
    fn count_failure(&mut self, item: &Item, reason: Reason, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&item.entry.lane()) else { return };
        let opened = match item.key(&lane.spec.rules) {
            Some(key) => lane.breaker.failed(key, now),
            None => lane.breaker.failed(item.position(), now),
        };
        if opened {
            self.house.reports.tell(|_| notices::paused(&lane.spec, reason, "breaker open: too many failures in a row"));
            let (route, destination) = (&lane.spec.route, &lane.spec.destination);
            warn!(%route, %destination, %reason, "breaker open: the destination fails, not its messages; nothing counts until a probe is delivered");
            lane.metrics.paused(Some(reason));
            self.board.set_paused(item.entry.lane(), true);
        }
    }

    /// A paused lane delivered again.
    fn lane_well(&mut self, id: LaneId, now: Instant) {
        let spec = &self.lanes[&id].spec;
        tracing::info!(route = %spec.route, destination = %spec.destination, "destination takes messages again");
        self.board.set_paused(id, false);
        self.parked.wake(now, |lane| lane == id);
    }

    /// Sends an item where its lane's failures go.
    pub(super) fn dead(&mut self, item: Item, reason: Reason, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&item.entry.lane()) else { return };
        let spec = Arc::clone(&lane.spec);
        let message = item.entry.original();
        if let Some(unsaid) = lane.may_say_dead(now) {
            let (route, destination) = (&spec.route, &spec.destination);
            let error = item.story.as_ref().map_or("", |story| story.detail.as_str());
            warn!(%route, %destination, message_id = message.id(), %reason, error, more = unsaid, "dead letter");
        }
        debug!(message_id = message.id(), %reason, "dead letter");
        self.house.reports.tell(|payload| notices::dead_letter(&item, &spec, reason, payload));
        match spec.dead_letter {
            DeadLetterTo::Drop => self.backlog.settle(&item.entry, End::Dropped),
            DeadLetterTo::Native => {
                let detail = item.story.as_ref().map_or_else(String::new, |story| story.detail.clone());
                self.backlog.settle(&item.entry, End::Rejected(Arc::new(Refusal::new(reason, detail))));
            }
            DeadLetterTo::Lane(grave) => match (self.graves)(grave, message) {
                Ok(letter) => {
                    let death = death(&item, reason, &spec);
                    self.backlog.bury(&item.entry, Burial { lane: grave, letter, death });
                }
                // The dead letter itself has no address: the message stays where it is, and is tried on.
                Err(rejection) => {
                    warn!(message_id = message.id(), error = %rejection, "no address for the dead letter; kept and tried again");
                    let key = self.parked.id(&item, &spec.rules);
                    self.parked.park(key, item, now + spec.rules.backoff.max);
                }
            },
        }
    }
}

fn death(item: &Item, reason: Reason, spec: &super::LaneSpec) -> Death {
    let story = item.story.as_deref();
    let now = wall_ms();
    Death {
        route: spec.route.to_string(),
        source: spec.source.to_string(),
        destination: spec.destination.to_string(),
        reason,
        error: story.map(|story| story.detail.clone()).unwrap_or_default(),
        attempts: story.map_or(0, |story| story.counted),
        first_failed_at: story.map_or(now, |story| story.first_failed_at),
        last_failed_at: story.map_or(now, |story| story.last_failed_at),
        original_address: item.entry.address().to_owned(),
        original_position: item.entry.original().raw().carrier.position().unwrap_or_default(),
    }
}

fn detail(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Delivered(_) => "nobody listens",
        Outcome::Throttled { detail, .. } => detail,
        Outcome::Refused(refusal) => &refusal.detail,
        Outcome::Unknown(reason) => reason.as_str(),
        Outcome::Unsent => "another message of its batch was refused",
    }
}
