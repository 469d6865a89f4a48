//! The task of a link: what goes next, and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Instant,
};

use tokio::sync::watch;

use super::{
    board::Board,
    flights::{Flight, Flights},
    item::Item,
    lane::{Gate, Lane, LaneSpec},
    line::{Line, LineEvent},
    parcel::{Parcel, Rendered},
    parked::Parked,
    suspect::Suspect,
    tick::TICK,
};
use crate::{
    broker::{Broker, House, InFlight, LinkKey},
    envelope::{Message, Rejection},
    journal::{Backlog, Entry},
    outcome::{LinkDown, Outcome, Reason},
    route::{Buried, LaneId, Ordering},
    telemetry::{BrokerMetrics, LaneMetrics},
};

/// Renders the address of a dead-letter lane for a message.
pub type Graves = Arc<dyn Fn(LaneId, &Message) -> Result<Buried, Rejection> + Send + Sync>;

/// A link and its lanes, as a pipeline starts them.
#[derive(Debug, Clone)]
pub struct LinkSpec {
    /// The system.
    pub broker: Arc<dyn Broker>,
    /// The link in it.
    pub key: LinkKey,
    /// Opened when there is something to send (dead letters), not before.
    pub lazy: bool,
    /// Its lanes, with where they count.
    pub lanes: Vec<(Arc<LaneSpec>, LaneMetrics)>,
}

/// Delivers what the lanes of one link hold.
pub struct LinkWorker {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) key: LinkKey,
    pub(super) house: House,
    pub(super) backlog: Box<dyn Backlog>,
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    pub(super) parked: Parked,
    pub(super) flights: Flights,
    pub(super) suspect: Suspect,
    pub(super) graves: Graves,
    pub(super) board: Arc<Board>,
    pub(super) metrics: BrokerMetrics,
    pub(super) line: Line,
    /// Deaths in a row for a reason that lies with the link, with nothing answered between them.
    pub(super) flaps: u32,
    /// Openings that failed in a row.
    pub(super) attempts: u32,
    /// Why it was lost or could not be opened, since it last answered: each reason is said once.
    pub(super) said: BTreeSet<Reason>,
    pub(super) rendered: Rendered,
    in_flight: InFlight,
    pub(super) tick_at: Instant,
}

impl fmt::Debug for LinkWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkWorker").field("key", &self.key).field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

/// What woke the worker.
enum Turn {
    Line(LineEvent),
    Answers(Flight, Result<Vec<Outcome>, LinkDown>),
    Taken(Vec<Entry>),
    Time,
    Stop,
}

/// The lanes that may read on, and when the first of the others may.
struct Open {
    lanes: Vec<(LaneId, usize)>,
    next: Option<Instant>,
}

impl LinkWorker {
    /// A worker that has not opened its link.
    pub fn new(spec: LinkSpec, backlog: Box<dyn Backlog>, house: House, graves: Graves, board: Arc<Board>) -> Self {
        let now = Instant::now();
        let bound =
            |bound: fn(&InFlight) -> usize| spec.lanes.iter().map(|(lane, _)| bound(&lane.target.in_flight)).min().unwrap_or(1);
        let in_flight = InFlight {
            batches: bound(|bounds| bounds.batches),
            messages: bound(|bounds| bounds.messages),
            batch_messages: bound(|bounds| bounds.batch_messages),
        };
        let metrics = house.metrics.broker(&spec.key.broker);
        let lanes = spec.lanes.into_iter().map(|(lane, metrics)| (lane.id, Lane::new(lane, metrics, now))).collect();
        Self {
            broker: spec.broker,
            key: spec.key,
            house,
            backlog,
            lanes,
            parked: Parked::default(),
            flights: Flights::default(),
            suspect: Suspect::default(),
            graves,
            board,
            metrics,
            line: if spec.lazy { Line::Resting } else { Line::Down { retry_at: now } },
            attempts: 0,
            said: BTreeSet::new(),
            flaps: 0,
            rendered: Rendered::default(),
            in_flight,
            tick_at: now + TICK,
        }
    }

    /// Runs until `stop` turns true; then closes the link. What was not answered by then counts as not delivered.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let now = Instant::now();
            self.tend(now);
            self.dispatch(now);
            let open = self.open_lanes(now);
            let (room, wake) = (self.room(), self.wake_at(now, open.next));
            let reads = room > 0 && !open.lanes.is_empty();
            let Self { line, flights, backlog, .. } = &mut self;
            let turn = tokio::select! {
                biased;
                event = line.event() => Turn::Line(event),
                (flight, answers) = flights.answers() => Turn::Answers(flight, answers),
                taken = backlog.take(&open.lanes, room), if reads => Turn::Taken(taken),
                () = tokio::time::sleep_until(wake.into()) => Turn::Time,
                _ = stop.wait_for(|stop| *stop) => Turn::Stop,
            };
            match turn {
                Turn::Line(event) => self.line_event(event),
                Turn::Answers(flight, Ok(outcomes)) => self.answered(flight, outcomes),
                Turn::Answers(flight, Err(down)) => self.link_died(Some(flight), &down, Instant::now()),
                Turn::Taken(entries) => self.taken(entries, Instant::now()),
                Turn::Time => {}
                Turn::Stop => break,
            }
        }
        if let Line::Up { publisher, .. } = self.line {
            publisher.close().await;
        }
    }

    /// How many messages a parcel may hold now.
    fn room(&self) -> usize {
        if self.flights.batches() >= self.in_flight.batches || self.suspect.alone().is_some() {
            return 0;
        }
        self.in_flight.messages.saturating_sub(self.flights.messages()).min(self.in_flight.batch_messages)
    }

    /// A lane may hold at most half of its link's window, so that a slow one leaves room for the others.
    fn lane_room(&self, lane: &Lane) -> usize {
        let window = if self.lanes.len() > 1 { self.in_flight.messages.div_ceil(2) } else { self.in_flight.messages };
        window.saturating_sub(lane.flying)
    }

    fn open_lanes(&self, now: Instant) -> Open {
        let mut open = Open { lanes: Vec::new(), next: None };
        let up = self.line.is_free();
        for (id, lane) in &self.lanes {
            // Without a link a lane reads only what must be watched for its deadline, or what makes a lazy link open.
            let reads = up || matches!(self.line, Line::Resting) || (lane.spec.rules.deadline.is_some() && !self.line.is_up());
            if !reads || (up && !lane.resend.is_empty()) {
                continue;
            }
            let room = if up { self.lane_room(lane) } else { self.in_flight.messages.saturating_sub(lane.resend.len()) };
            match lane.gate(now, room) {
                Gate::Open(0) => {}
                Gate::Open(room) => open.lanes.push((*id, room)),
                Gate::Shut(at) => open.next = [open.next, at].into_iter().flatten().min(),
            }
        }
        open
    }

    fn wake_at(&self, now: Instant, gate: Option<Instant>) -> Instant {
        let idle = self.flights.is_empty();
        let line = self.line.wake_at().filter(|_| idle || !self.line.is_free());
        let times = [Some(self.tick_at), gate, line, self.flights.deadline(), self.parked.next_due(now)];
        times.into_iter().flatten().min().unwrap_or(self.tick_at)
    }

    /// Entries fresh from the journal.
    fn taken(&mut self, entries: Vec<Entry>, now: Instant) {
        let mut parcel = Parcel::default();
        let up = self.line.is_free();
        for entry in entries {
            self.load(Item::new(entry), up, now, &mut parcel);
        }
        if matches!(self.line, Line::Resting) {
            self.open_line();
        }
        self.hand_over(parcel, now);
    }

    /// What waited outside the journal and may go now: retries that are due, then what a dead link or a pause left behind.
    fn dispatch(&mut self, now: Instant) {
        if !self.line.is_free() {
            return;
        }
        let mut parcel = Parcel::default();
        if let Some(position) = self.suspect.alone() {
            if self.flights.is_empty() {
                self.send_alone(position, now, &mut parcel);
            }
            self.hand_over(parcel, now);
            return;
        }
        let room = self.room();
        let lanes = &self.lanes;
        let mut probing = Vec::new();
        let due = self.parked.take_due(now, room, |id| match lanes[&id].gate(now, usize::MAX) {
            Gate::Open(1) if probing.contains(&id) => 0,
            Gate::Open(1) => {
                probing.push(id);
                1
            }
            Gate::Open(many) => many,
            Gate::Shut(_) => 0,
        });
        for item in due {
            self.fly(item, now, &mut parcel);
        }
        let waiting: Vec<_> = self.lanes.iter().filter(|(_, lane)| !lane.resend.is_empty()).map(|(id, _)| *id).collect();
        for id in waiting {
            while parcel.items.len() < room
                && let Some(lane) = self.lanes.get_mut(&id)
                && matches!(lane.gate(now, 1), Gate::Open(1))
                && let Some((_, item)) = lane.resend.pop_first()
            {
                self.load(item, true, now, &mut parcel);
            }
        }
        self.hand_over(parcel, now);
    }

    /// Puts an item into the parcel, or behind those of its key that wait.
    fn load(&mut self, item: Item, up: bool, now: Instant, parcel: &mut Parcel) {
        let id = item.entry.lane();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let rules = &lane.spec.rules;
        let strict = rules.ordering == Ordering::Strict && item.key(rules).is_some();
        if strict || !self.parked.is_empty() {
            let key = self.parked.id(&item, rules);
            if self.parked.holds(key) {
                self.parked.behind(key, item);
                return;
            }
            if strict && up {
                self.parked.fly(key, id, now);
            }
        }
        if up {
            self.fly(item, now, parcel);
        } else {
            lane.resend.insert(item.position(), item);
        }
    }

    fn fly(&mut self, item: Item, now: Instant, parcel: &mut Parcel) {
        if let Some(lane) = self.lanes.get_mut(&item.entry.lane()) {
            lane.fly(now);
            parcel.specs.push(Arc::clone(&lane.spec));
            parcel.items.push(item);
        }
    }

    /// The suspect of killing the link, with nothing else in flight.
    fn send_alone(&mut self, position: crate::journal::Position, now: Instant, parcel: &mut Parcel) {
        let item = self.lanes.values_mut().find_map(|lane| lane.resend.remove(&position));
        match item {
            Some(item) => self.fly(item, now, parcel),
            // It waits parked, or was withdrawn: it is no longer the oldest.
            None => self.suspect = Suspect::default(),
        }
    }

    fn hand_over(&mut self, parcel: Parcel, now: Instant) {
        if parcel.items.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.line, Line::Resting) {
            Line::Up { publisher, .. } => {
                let mut rendered = std::mem::take(&mut self.rendered);
                rendered.fill(&parcel);
                self.line = Line::send(publisher, parcel, rendered, self.flights.messages(), now);
            }
            other => {
                self.line = other;
                self.back_to_lanes(parcel, now);
            }
        }
    }

    pub(super) fn open_line(&mut self) {
        self.line = Line::open(Arc::clone(&self.broker), self.key.clone(), self.house.clone());
    }
}
