//! One destination of one route, as its link worker keeps it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{breaker::Breaker, item::Item, pace::Pace};
use crate::{
    broker::Target,
    envelope::Format,
    journal::Position,
    outcome::Reason,
    route::{DeadLetterTo, DeliveryRules, LaneId},
    telemetry::LaneMetrics,
};

/// A lane as configured. Its identity over reloads is (`route`, `written`).
#[derive(Debug, Clone)]
pub struct LaneSpec {
    /// Its index in the pipeline.
    pub id: LaneId,
    /// The route's name: a metric label.
    pub route: Arc<str>,
    /// The destination's name: a metric label.
    pub destination: Arc<str>,
    /// The source's name, for dead letters.
    pub source: Arc<str>,
    /// Where it publishes.
    pub target: Target,
    /// How it tries.
    pub rules: DeliveryRules,
    /// What it publishes.
    pub format: Format,
    /// Where its failures go.
    pub dead_letter: DeadLetterTo,
}

/// How much of a lane may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// So many messages.
    Open(usize),
    /// Nothing before this time; `None`: not before something is answered.
    Shut(Option<Instant>),
}

/// A lane and everything that waits in it outside the journal.
pub(super) struct Lane {
    pub(super) spec: Arc<LaneSpec>,
    pub(super) metrics: LaneMetrics,
    pub(super) breaker: Breaker,
    pace: Option<Pace>,
    pause: Option<Pause>,
    /// What goes before anything new: in flight on a dead link, or the reason of a pause.
    pub(super) resend: BTreeMap<Position, Item>,
    /// On the wire.
    pub(super) flying: usize,
    /// Lines for dead letters in the log: the last one, and how many were left out since.
    dead_said: Option<Instant>,
    dead_unsaid: u32,
}

/// The destination would have nothing; after `until` one message tries whether it has changed its mind.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    reason: Reason,
}

/// At most one line for dead letters in this time, for each lane.
const DEAD_SAID_EVERY: Duration = Duration::from_secs(5);

impl Lane {
    pub(super) fn new(spec: Arc<LaneSpec>, metrics: LaneMetrics, now: Instant) -> Self {
        Self {
            breaker: Breaker::new(spec.rules.breaker),
            pace: spec.rules.rate_limit.map(|rate| Pace::new(rate, now)),
            spec,
            metrics,
            pause: None,
            resend: BTreeMap::new(),
            flying: 0,
            dead_said: None,
            dead_unsaid: 0,
        }
    }

    /// How much may go now, of at most `room`.
    pub(super) fn gate(&self, now: Instant, room: usize) -> Gate {
        let probe_at = match (self.pause, self.breaker.probe_at()) {
            (None, None) => None,
            (pause, probe) => pause.map(|pause| pause.until).max(probe),
        };
        match probe_at {
            Some(at) if at > now => return Gate::Shut(Some(at)),
            // One message asks whether the destination is back.
            Some(_) if self.flying > 0 => return Gate::Shut(None),
            _ => {}
        }
        let room = if probe_at.is_some() { room.min(1) } else { room };
        match &self.pace {
            Some(pace) => match pace.available(now) {
                0 => Gate::Shut(Some(pace.next(now))),
                available => Gate::Open(room.min(available)),
            },
            None => Gate::Open(room),
        }
    }

    /// Counts an item onto the wire.
    pub(super) fn fly(&mut self, now: Instant) {
        self.flying += 1;
        if let Some(pace) = &mut self.pace {
            pace.spend(now);
        }
        if self.breaker.is_open() {
            self.breaker.probed(now);
        }
    }

    /// True while nothing but a probe goes.
    pub(super) fn is_paused(&self) -> bool {
        self.pause.is_some() || self.breaker.is_open()
    }

    /// Pauses it. Answers true where it was not paused for this reason before.
    pub(super) fn pause(&mut self, until: Instant, reason: Reason) -> bool {
        let news = self.pause.is_none_or(|pause| pause.reason != reason);
        self.pause = Some(Pause { until, reason });
        if news {
            self.metrics.paused(Some(reason));
        }
        news
    }

    /// A message was delivered: the destination is well. Answers true where that ends a pause or closes the breaker. A pause that is
    /// not over stays: the message was on its way before, and the destination has asked for patience since.
    pub(super) fn delivered(&mut self, now: Instant) -> bool {
        let paused = self.pause.take_if(|pause| pause.until <= now).is_some();
        let opened = self.breaker.delivered();
        if paused || opened {
            self.metrics.paused(None);
        }
        paused || opened
    }

    /// Whether to write a line about a dead letter now, and how many had none since the last.
    pub(super) fn may_say_dead(&mut self, now: Instant) -> Option<u32> {
        if self.dead_said.is_some_and(|said| now.duration_since(said) < DEAD_SAID_EVERY) {
            self.dead_unsaid += 1;
            return None;
        }
        self.dead_said = Some(now);
        Some(std::mem::take(&mut self.dead_unsaid))
    }

    /// Takes out what the source withdrew and what `expired` condemns. A paused lane keeps one withdrawn item: it asks whether
    /// the destination is back, so that the source need not be opened to find out.
    pub(super) fn take_condemned(&mut self, mut expired: impl FnMut(&Item) -> bool) -> Vec<Item> {
        let mut keep_probe = self.is_paused();
        let mut condemned = Vec::new();
        for (position, item) in &self.resend {
            if expired(item) || (item.entry.withdrawn() && !std::mem::take(&mut keep_probe)) {
                condemned.push(*position);
            }
        }
        condemned.into_iter().filter_map(|position| self.resend.remove(&position)).collect()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("spec", &self.spec)
            .field("pause", &self.pause)
            .field("flying", &self.flying)
            .finish_non_exhaustive()
    }
}
