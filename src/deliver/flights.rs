//! Parcels handed to a link and not yet answered, oldest first.

use std::{collections::VecDeque, future::poll_fn, sync::Arc, task::Poll, time::Instant};

use futures_util::FutureExt;

use super::parcel::Parcel;
use crate::{
    broker::Confirms,
    outcome::{LinkDown, Outcome},
};

/// One parcel in the air.
pub(super) struct Flight {
    pub(super) parcel: Arc<Parcel>,
    pub(super) confirms: Confirms,
    pub(super) sent: Instant,
    pub(super) deadline: Instant,
    /// Its messages are timed and answered one by one ([`crate::broker::Publisher::times_each`]).
    pub(super) timed_each: bool,
}

/// All of them, in the order of sending. Answers are taken in that order: from the oldest unanswered one on, everything is unknown
/// when a link dies, and repeats as a whole. Only where each message is timed by itself they are taken as they come: there is no link
/// to die, and a webhook that hangs must not keep from the others that theirs were delivered.
#[derive(Default)]
pub(super) struct Flights {
    queue: VecDeque<Flight>,
    messages: usize,
}

impl Flights {
    pub(super) fn push(&mut self, flight: Flight) {
        self.messages += flight.parcel.items.len();
        self.queue.push_back(flight);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn batches(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// The broker holds the link back: what flies is not late before `until`.
    pub(super) fn wait_until(&mut self, until: Instant) {
        for flight in &mut self.queue {
            flight.deadline = flight.deadline.max(until);
        }
    }

    /// When the first of them must be answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.iter().map(|flight| flight.deadline).min()
    }

    pub(super) fn oldest(&self) -> Option<&Flight> {
        self.queue.front()
    }

    /// The answers to the oldest; of those that are timed each, to the oldest that has any. Cancel-safe. Waits for ever while nothing flies.
    pub(super) async fn answers(&mut self) -> (Flight, Result<Vec<Outcome>, LinkDown>) {
        poll_fn(|context| {
            for place in 0..self.queue.len() {
                if place > 0 && !self.queue[place].timed_each {
                    break;
                }
                if let Poll::Ready(answers) = self.queue[place].confirms.poll_unpin(context)
                    && let Some(flight) = self.queue.remove(place)
                {
                    self.messages -= flight.parcel.items.len();
                    return Poll::Ready((flight, answers));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Takes all down, their link is dead; and the one that said so, in its place.
    pub(super) fn take_down(&mut self, first: Option<Flight>) -> Vec<Arc<Parcel>> {
        self.messages = 0;
        let mut flights: Vec<Flight> = first.into_iter().chain(std::mem::take(&mut self.queue)).collect();
        flights.sort_by_key(|flight| flight.sent);
        flights.into_iter().map(|flight| flight.parcel).collect()
    }
}
