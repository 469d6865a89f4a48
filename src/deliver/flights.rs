//! Parcels handed to a link and not yet answered, oldest first.

use std::{collections::VecDeque, sync::Arc, time::Instant};

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
}

/// All of them. Answers are taken in the order of sending: from the oldest unanswered one on, everything is unknown when a link dies.
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

    /// When the oldest must be answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|flight| flight.deadline)
    }

    pub(super) fn oldest(&self) -> Option<&Flight> {
        self.queue.front()
    }

    /// The answers to the oldest. Cancel-safe. Waits for ever while nothing flies.
    pub(super) async fn answers(&mut self) -> (Flight, Result<Vec<Outcome>, LinkDown>) {
        let Some(oldest) = self.queue.front_mut() else { return std::future::pending().await };
        let answers = (&mut oldest.confirms).await;
        let Some(flight) = self.queue.pop_front() else { return std::future::pending().await };
        self.messages -= flight.parcel.items.len();
        (flight, answers)
    }

    /// Takes all down: their link is dead.
    pub(super) fn take_down(&mut self) -> impl Iterator<Item = Arc<Parcel>> {
        self.messages = 0;
        std::mem::take(&mut self.queue).into_iter().map(|flight| flight.parcel)
    }
}
