//! One request at a time to a queue or topic, in the order of `send`: requests side by side on several connections arrive in any order.

use std::{future::Future, pin::Pin, sync::Arc, task::Poll};

use futures_util::poll;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::coop,
};

use super::super::held_back::{HandedOver, HeldBack};

/// Whose turn it is at one queue or topic.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    line: Arc<Mutex<()>>,
    held_back: HeldBack,
}

/// The turn of one who was handed over; over when dropped.
pub(super) struct Turn {
    pub(super) handed_over: HandedOver,
    _place: OwnedMutexGuard<()>,
}

/// A turn, which comes when all that were asked for before are over.
pub(super) type Coming = Pin<Box<dyn Future<Output = Turn> + Send>>;

impl Turns {
    /// Takes a place in the line before it returns: the first poll does, without a task's budget that could put it off.
    pub(super) async fn next(&self) -> Coming {
        let handed_over = self.held_back.handed_over();
        let mut place = Box::pin(coop::unconstrained(Arc::clone(&self.line).lock_owned()));
        let first = poll!(&mut place);
        Box::pin(async move {
            let place = match first {
                Poll::Ready(place) => place,
                Poll::Pending => place.await,
            };
            Turn { handed_over, _place: place }
        })
    }

    /// Whether nobody waits and nothing is held back.
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.line) == 1 && self.held_back.is_idle()
    }
}
