//! A batch in the journal, and one copy of it for one lane.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    envelope::Message,
    intake::Ticket,
    outcome::{End, Refusal, Verdict},
    route::{Buried, Copy, Death, LaneId, Routed},
    telemetry::SourceAction,
};

/// A place in the order of a pipeline: entries of one lane sort as their messages came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    batch: u64,
    copy: u32,
}

/// A routed batch with its ticket. It lives as long as one of its entries does; dropped before all its messages are settled, the
/// ticket says *not delivered*.
#[derive(Debug)]
pub struct Batch {
    number: u64,
    routed: Routed,
    ticket: Ticket,
    standings: Box<[Standing]>,
    taken: Instant,
}

/// How far one message of a batch is.
#[derive(Debug, Default)]
struct Standing {
    /// Required copies that have not ended.
    open: AtomicU16,
    /// The rank of the gravest end so far ([`Standing::note`]).
    gravest: AtomicU8,
    /// Why a copy was handed back to its source, where one was.
    rejected: OnceLock<Arc<Refusal>>,
}

/// One copy of a message, waiting for its lane or on its way. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entry {
    batch: Arc<Batch>,
    copy: u32,
    /// Set where it was moved to a dead-letter lane after it failed elsewhere.
    burial: Option<Arc<Burial>>,
}

/// The way of an entry into its grave.
#[derive(Debug)]
pub struct Burial {
    /// The dead-letter lane.
    pub lane: LaneId,
    /// That lane's address and fields, rendered for this message.
    pub letter: Buried,
    /// Why.
    pub death: Death,
}

impl Batch {
    /// A batch that knows how many required copies each of its messages has.
    pub(super) fn new(number: u64, routed: Routed, ticket: Ticket, required: impl Fn(LaneId) -> bool) -> Self {
        let standings: Box<[Standing]> = routed.messages.iter().map(|_| Standing::default()).collect();
        for copy in routed.copies.iter().filter(|copy| required(copy.lane)) {
            standings[copy.message as usize].open.fetch_add(1, Ordering::Relaxed);
        }
        Self { number, routed, ticket, standings, taken: Instant::now() }
    }

    /// As it was routed.
    pub fn routed(&self) -> &Routed {
        &self.routed
    }

    /// Messages that no required lane holds: they settle without waiting for anyone.
    pub(super) fn unheld(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.standings).filter(|(_, standing)| standing.open.load(Ordering::Relaxed) == 0).map(|(index, _)| index)
    }

    /// Notes a copy that never came to be: dropped by choice, or to be handed back to its source.
    pub(super) fn set_aside(&self, message: u32, end: &End) {
        self.standings[message as usize].note(end);
    }

    /// Notes the end of a required copy. Answers how its message ended, where this was its last one, and settles it.
    pub(super) fn end(&self, message: u32, end: &End) -> Option<SourceAction> {
        let standing = &self.standings[message as usize];
        if *end == End::Withdrawn {
            // The message comes again; what was settled of it here is no business of the next incarnation's.
            return None;
        }
        standing.note(end);
        let last = standing.open.fetch_sub(1, Ordering::AcqRel) == 1;
        last.then(|| self.settle(message))
    }

    /// Settles a message that nothing holds, or no longer; answers how it ended.
    pub(super) fn settle(&self, message: u32) -> SourceAction {
        let standing = &self.standings[message as usize];
        let rejected = standing.rejected.get();
        self.ticket.settle(message, rejected.map_or(Verdict::Accepted, |why| Verdict::Rejected(Arc::clone(why))));
        match standing.gravest.load(Ordering::Relaxed) {
            _ if rejected.is_some() => SourceAction::Rejected,
            0 => SourceAction::Delivered,
            1 => SourceAction::Dropped,
            _ => SourceAction::DeadLettered,
        }
    }
}

impl Standing {
    fn note(&self, end: &End) {
        let rank = match end {
            End::Delivered(_) | End::Withdrawn => 0,
            End::Dropped => 1,
            End::DeadLettered => 2,
            End::Rejected(why) => {
                // The first reason is as good as any other.
                self.rejected.get_or_init(|| Arc::clone(why));
                2
            }
        };
        self.gravest.fetch_max(rank, Ordering::Relaxed);
    }
}

impl Entry {
    /// The copy at an index of its batch.
    pub(super) fn new(batch: &Arc<Batch>, copy: u32) -> Self {
        Self { batch: Arc::clone(batch), copy, burial: None }
    }

    /// The same entry on its way to a dead-letter lane.
    pub(super) fn buried(&self, burial: Burial) -> Self {
        Self { batch: Arc::clone(&self.batch), copy: self.copy, burial: Some(Arc::new(burial)) }
    }

    pub(super) fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// The copy as it was routed.
    pub fn copy(&self) -> &Copy {
        &self.batch.routed.copies[self.copy as usize]
    }

    /// Who delivers it: the lane it was routed to, or the dead-letter lane it was moved to.
    pub fn lane(&self) -> LaneId {
        self.burial.as_ref().map_or_else(|| self.copy().lane, |burial| burial.lane)
    }

    /// Where it stands in the order of its lane.
    pub fn position(&self) -> Position {
        Position { batch: self.batch.number, copy: self.copy }
    }

    /// The message, as the route transformed it; a dead letter is the message as it came.
    pub fn message(&self) -> &Message {
        let copy = self.copy();
        let other = match &self.burial {
            Some(burial) => &burial.letter.received,
            None => &copy.transformed,
        };
        other.as_deref().unwrap_or_else(|| self.original())
    }

    /// The message as it came.
    pub fn original(&self) -> &Message {
        &self.batch.routed.messages[self.copy().message as usize]
    }

    /// Where it goes.
    pub fn address(&self) -> &str {
        match &self.burial {
            Some(burial) => &burial.letter.address,
            None => self.text(&self.copy().address),
        }
    }

    /// Its ordering key; empty where it has none.
    pub fn key(&self) -> &str {
        self.text(&self.copy().key)
    }

    /// The rendered fields of its target, in the target's order.
    pub fn fields(&self) -> impl Iterator<Item = Option<&str>> {
        let (buried, copied): (&[_], &[_]) = match &self.burial {
            Some(burial) => (&burial.letter.fields, &[]),
            None => (&[], &self.copy().fields),
        };
        let copied = copied.iter().map(|span| span.as_ref().map(|span| self.text(span)));
        buried.iter().map(Option::as_deref).chain(copied)
    }

    /// A text of the batch's arena.
    pub fn text(&self, span: &crate::route::Span) -> &str {
        self.batch.routed.text(span)
    }

    /// Why it is a dead letter, where it is one.
    pub fn death(&self) -> Option<&Death> {
        match &self.burial {
            Some(burial) => Some(&burial.death),
            None => self.copy().death.as_deref(),
        }
    }

    /// How long the bridge has had it.
    pub fn held(&self, now: Instant) -> Duration {
        now.duration_since(self.batch.taken)
    }

    /// When the bridge first saw it.
    pub fn taken(&self) -> Instant {
        self.batch.taken
    }

    /// True once its source will send it again: it need not be sent.
    pub fn withdrawn(&self) -> bool {
        self.batch.ticket.withdrawn()
    }

    /// It waits for its retry; many of these stop the reading of the source.
    pub fn park(&self) {
        self.batch.ticket.park();
    }

    /// It flows again or ended.
    pub fn unpark(&self) {
        self.batch.ticket.unpark();
    }
}
